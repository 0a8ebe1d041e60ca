"""soundpost ensemble: from trained recipes to a blend.

    soundpost ensemble second-level weights/A weights/B --csv train_curated.csv --out weights/fcnet
    soundpost ensemble choose weights/A weights/B weights/fcnet_7 --csv train_curated.csv --out weights/submission.toml

second-level trains small networks on the recipes' answers, whose settings are drawn at random; choose tries every
combination of recipes and writes the submission.toml of the best one. Both look at out-of-fold answers alone.
"""

import argparse
from collections.abc import Sequence

from soundpost.arguments import Parser
from soundpost.exit_status import refusing
from soundpost.training.ensembles import chosen, second_level


@refusing
def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; exit status 0, or 2 with the reason."""
    parser = Parser(
        prog="soundpost ensemble", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    words = parser.add_subparsers(required=True, metavar="choose | second-level", parser_class=Parser)
    for name, module in (("choose", chosen), ("second-level", second_level)):
        word = words.add_parser(name, description=(module.__doc__ or "").strip())
        module.add_options(word)
        word.set_defaults(call=module.main)
    options = parser.parse_args(arguments)
    options.call(options)
    return 0
