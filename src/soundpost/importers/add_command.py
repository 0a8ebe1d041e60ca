"""The command soundpost import add: what it is told, and what it tells."""

from collections.abc import Callable, Sequence
from pathlib import Path

from soundpost.arguments import Parser
from soundpost.ensemble.weights_folder import RECIPE, SUBMISSION, default_root
from soundpost.exit_status import STATUS_OK, refusing
from soundpost.importers.add import (
    Adding,
    add,
    code_lines,
    free_folder,
    name_in_submission,
    read_settings,
    refuse_scores,
)
from soundpost.importers.compare import compare
from soundpost.importers.matching import read_renames
from soundpost.importers.onnx_member import add_onnx, read_aliases
from soundpost.importers.shown_settings import lines, refuse_other_rates

NETWORK = "FILE.py:CLASS, MODULE:CLASS, timm:NAME or torchvision:NAME; without it [model] names a network of the kit"


@refusing
def main(arguments: Sequence[str], labels_of: Callable[[Path], tuple[str, ...]]) -> int:
    """Add one recipe, show what it is made of, and say what to do next; 0 if it was written, and agrees where asked.

    Args:
        arguments: behind the word "add".
        labels_of: reads labels from a file.
    """
    given = _parser().parse_args(arguments)
    table = read_settings(given.settings)
    said = Adding(
        network=given.network,
        scores=given.score,
        renames=read_renames(given.rename),
        drop=given.drop,
        strip=given.strip,
        is_logits=given.logits,
        replace=given.replace,
    )
    labels = labels_of(given.labels)
    if given.onnx:
        free_folder(given.weights, given.recipe, given.replace)
        refuse_scores(given.score, len(given.onnx))
        refuse_other_rates(table, f"settings of {given.recipe}")
        aliases = read_aliases(given.aliases, given.alias_columns) if given.aliases else {}
        recipe = add_onnx(given.onnx, given.weights, given.recipe, table, labels, given.score, aliases)
    else:
        recipe = add(given.checkpoint, given.weights, given.recipe, table, labels, said)
    name_in_submission(given.weights, recipe.name, given.only)
    print("\n".join(lines(table, recipe.name)))
    folder = given.weights / recipe.name
    for line in code_lines(folder, recipe):
        print(line)
    print(f"{folder / RECIPE}: {len(recipe.members)} folds of {recipe.model.name}, {len(recipe.labels)} labels")
    print(f"{given.weights / SUBMISSION} names it. Next: python build_kernel.py")
    if given.reference:
        return compare(given.weights, recipe.name, given.reference, given.clips, given.fold)
    return STATUS_OK


def _parser() -> Parser:
    parser = Parser(prog="soundpost import add", description=__doc__)
    files = parser.add_mutually_exclusive_group(required=True)
    files.add_argument("--checkpoint", type=Path, nargs="+", help="weights of a network, one file for each fold")
    files.add_argument("--onnx", type=Path, nargs="+", help="networks without code, one ONNX file for each fold")
    parser.add_argument("--recipe", required=True, help="its name, and that of its folder in weights/")
    parser.add_argument("--settings", type=Path, required=True, help="toml: audio, front_end, model, views")
    parser.add_argument("--labels", type=Path, required=True, help="sample_submission.csv, or one label a line")
    parser.add_argument("--network", metavar="PLACE", default="", help=NETWORK)
    parser.add_argument("--score", type=float, nargs="+", default=[], help="out-of-fold lwlrap of each checkpoint")
    parser.add_argument("--rename", metavar="OLD=NEW", action="append", default=[], help="beginnings of names")
    parser.add_argument("--strip", metavar="PATTERN", action="append", default=[], help="prefix to take off: 'net_*.'")
    parser.add_argument("--drop", metavar="PATTERN", action="append", default=[], help="arrays to leave out: 'ema.*'")
    parser.add_argument("--aliases", metavar="CSV", type=Path, help="with --onnx: a table of label and contest column")
    parser.add_argument("--alias-columns", nargs=2, default=["label", "column"], help="its two columns (label column)")
    parser.add_argument("--logits", action="store_true", help="answers within [0, 1] are logits all the same")
    parser.add_argument("--replace", action="store_true", help="a recipe of that name goes")
    parser.add_argument("--only", action="store_true", help="the submission is to hold no other recipe")
    parser.add_argument("--weights", type=Path, default=default_root(), help="folder of submission.toml (weights)")
    parser.add_argument("--reference", type=Path, help="your own answers to compare with: .npz or .csv")
    parser.add_argument("--clips", type=Path, help="with --reference: folder of the clips that they belong to")
    parser.add_argument("--fold", default="", help="with --reference: whose answers they are (the mean of all folds)")
    return parser
