"""The options of a training kernel: from the command line, or from its settings block."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from soundpost.arguments import HELP_OF_THE_KERNEL, OF_THE_KERNEL, Parser, parse_kernel
from soundpost.ensemble.weights_folder import INPUT_ROOT

LIMIT = "11h30m"  # in Kaggle's 12 h; the rest is for its machine to start and to save what is left
PLANS = Path(__file__).resolve().parents[3] / "plans"  # where a kernel unpacks them, beside its source

EPILOG = f"""\
{HELP_OF_THE_KERNEL}
exit status: 0 however far it came, so that Kaggle keeps the output and the next session can go on from it. 2 where a
run that ends well would replace an earlier output by less: nothing is mounted, or the earlier output finds no room.
"""


def parse(argv: Sequence[str] | None, settings: Mapping[str, object], prog: str) -> argparse.Namespace:
    """The options of one session; what the command line says comes before what the settings block says.

    Args:
        argv: without the program's name; None: of this process.
        settings: values by the options' long names; None stands for the default.
        prog: what the program is called in its help.

    Raises:
        SettingsError: the settings block names something that is no option.
        SystemExit: an argument cannot be used (status 2), or --help was asked for (status 0).
    """
    return parse_kernel(_parser(prog), argv, settings)


def _parser(prog: str) -> Parser:
    parser = Parser(
        prog=prog,
        description="Train the plans that this file carries for as long as the session lasts, from where the last one "
        "stopped. On Kaggle no option is needed.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        elsewhere=OF_THE_KERNEL,
    )
    add = parser.add_argument
    add("--limit", default=LIMIT, help="of the whole session, such as 11h30m (%(default)s)")
    add("--curated", metavar="CSV:DIR", help="trusted clips, from a folder under the input root (known data sets)")
    add("--noisy", metavar="CSV:DIR", help="clips whose labels may be wrong, the same way")
    add("--start", metavar="NAME", default="", help="weights to begin with: a file under the input root, or a recipe")
    add("--folds", default="", help="train these members alone, comma separated (all)")
    add("--epochs", type=int, default=0, help="of every stage, instead of the plan's")
    add("--seed", type=int, default=0)
    add("--device", default="auto", help="auto, cpu, or several, one job each: cuda:0,cuda:1 (auto: every GPU)")
    add("--save-every", default="60s", help="at most so long between two checkpoints (%(default)s)")
    add("--competition", metavar="SLUG", default="", help="whose data to look for first")
    add("--input-root", type=Path, default=INPUT_ROOT, help="where data is attached (%(default)s)")
    add("--out", type=Path, default=Path(), help="folder in which weights/ is left (the working folder)")
    add("--scratch", type=Path, help="for features, which are not kept (the system's temporary folder)")
    add("--plans", type=Path, default=PLANS, help="folder of the plans (those that the kernel carries)")
    return parser
