"""soundpost import SYSTEM SOURCE --out FOLDER: a published checkpoint becomes a recipe folder.

`soundpost import add --help` tells of networks of your own, with code or as ONNX files, `soundpost import head --help`
of heads on ONNX files of others, `soundpost import compare --help` of answers of your own, `soundpost import export
--help` of members as ONNX files for faster runtimes.
"""

import csv
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from soundpost.arguments import Parser
from soundpost.contest.submission import RANKED
from soundpost.ensemble.recipes import Recipe
from soundpost.errors import SettingsError
from soundpost.exit_status import refusing
from soundpost.importers import add_command, compare, export, graph_head
from soundpost.importers.argus import import_argus
from soundpost.importers.erc2019 import import_erc2019, import_seventh, import_seventh_one_channel
from soundpost.importers.ex4sperans import import_ex4sperans
from soundpost.importers.qrfaction import import_qrfaction
from soundpost.importers.recipe_files import TEMPLATES
from soundpost.importers.resnets import PICTURES, import_filipmu, import_filipmu_colour, import_hires
from soundpost.importers.simongrest import import_simongrest
from soundpost.importers.timm_networks import IMPORTERS as TIMM_NETWORKS

IMPORTERS: dict[str, Callable[[Path, Path, str, tuple[str, ...]], Recipe]] = {
    "argus": import_argus,
    "ex4sperans": import_ex4sperans,
    "qrfaction": import_qrfaction,
    "erc2019": import_erc2019,
    "seventh": import_seventh,
    "seventh_one_channel": import_seventh_one_channel,
    "simongrest": import_simongrest,
    "filipmu": import_filipmu,
    "filipmu_colour": import_filipmu_colour,
    **{f"hires_{picture}": partial(import_hires, picture) for picture in PICTURES},
    **TIMM_NETWORKS,
}


@refusing
def main(arguments: Sequence[str]) -> int:
    """Import one experiment and say what was written; 0 if it was, 1 with the reason if not."""
    if arguments and arguments[0] == "export":
        return export.main(arguments[1:])
    if arguments and arguments[0] == "head":
        return graph_head.main(arguments[1:])
    if arguments and arguments[0] == "add":
        return add_command.main(arguments[1:], read_labels)
    if arguments and arguments[0] == "compare":
        return compare.main(arguments[1:])
    parser = Parser(prog="soundpost import", description=__doc__)
    parser.add_argument("system", choices=sorted(IMPORTERS))
    parser.add_argument("source", type=Path, help="checkpoint, or folder of one experiment with its folds")
    parser.add_argument("--out", type=Path, required=True, help="recipe folder to write; its name is the recipe's")
    parser.add_argument(
        "--labels",
        type=Path,
        default=TEMPLATES / "fsdkaggle2019.txt",
        help="sample_submission.csv, or one label a line, in the order of the outputs (default: Freesound 2019)",
    )
    given = parser.parse_args(arguments)
    name = given.out.resolve().name
    recipe = IMPORTERS[given.system](given.source, given.out, name, read_labels(given.labels))
    print(f"{given.out}: recipe {recipe.name}, {recipe.model.name}, {len(recipe.members)} folds")
    return 0


def read_labels(path: Path) -> tuple[str, ...]:
    """Labels from the header of a sample submission, behind its first column, or from a text file, one a line.

    Raises:
        SettingsError: the file cannot be read, is empty, or is the sample of a ranked submission, which names no class.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SettingsError(f"labels {path}: {error.strerror}. Give a sample_submission.csv or a list.") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"labels {path}: {error}. Save it as UTF-8.") from error
    lines = text.splitlines()
    labels = (
        next(csv.reader(lines))[1:] if path.suffix == ".csv" and lines else [line for line in lines if line.strip()]
    )
    if not labels or labels == [RANKED]:
        raise SettingsError(
            f"labels {path}: no label in it. Give a sample_submission.csv with a column for each class, or a text file "
            "with one label a line."
        )
    return tuple(labels)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
