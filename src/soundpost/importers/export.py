"""soundpost import export: the members of a recipe as ONNX files beside their weights, named in it."""

import tomllib
from collections.abc import Sequence
from pathlib import Path

import tomli_w

from soundpost.arguments import Parser
from soundpost.ensemble.recipe_folder import fold_file
from soundpost.ensemble.recipes import parse_recipe
from soundpost.ensemble.weights_file import sha256_of
from soundpost.ensemble.weights_folder import RECIPE, Assets, default_root, find_assets
from soundpost.errors import SettingsError
from soundpost.graph_export.onnx_export import export


def export_recipe(assets: Assets, name: str) -> tuple[Path, ...]:
    """Write foldN.onnx for every member and name each in recipe.toml, if all of them answer as torch does.

    Args:
        assets: a submission and its weights.
        name: the recipe's.

    Returns:
        The files, in the order of the members.

    Raises:
        SettingsError: no such recipe, one that consists of ONNX files, or no package that exports.
        WeightsError: a member whose export answers otherwise; nothing is written then.
    """
    recipe = next((recipe for recipe in assets.submission.recipes if recipe.name == name), None)
    if recipe is None or recipe.is_graph:
        known = ", ".join(recipe.name for recipe in assets.submission.recipes if not recipe.is_graph) or "none"
        raise SettingsError(f"--recipe {name}: no recipe of torch networks is called so; known: {known}. Correct it.")
    graphs = [export(recipe, member, assets.arrays(member)) for member in recipe.members]
    folder = assets.root / name
    table = tomllib.loads((folder / RECIPE).read_text("utf-8"))
    paths = []
    for member, entry, graph in zip(recipe.members, table["members"], graphs, strict=True):
        paths.append(fold_file(folder, member.fold, ".onnx"))
        paths[-1].write_bytes(graph)
        entry["exported"] = {"file": paths[-1].name, "sha256": sha256_of(paths[-1])}
    text = tomli_w.dumps(table)
    parse_recipe(text, str(folder / RECIPE))
    (folder / RECIPE).write_text(text, encoding="utf-8", newline="\n")
    return tuple(paths)


def main(arguments: Sequence[str]) -> int:
    """Export one recipe and say what was written; 0 if it was."""
    parser = Parser(prog="soundpost import export", description=__doc__)
    parser.add_argument("--recipe", required=True, help="its name in submission.toml")
    parser.add_argument("--weights", type=Path, default=default_root(), help="folder of submission.toml (weights)")
    given = parser.parse_args(arguments)
    for path in export_recipe(find_assets(given.weights), given.recipe):
        print(f"{path}: {path.stat().st_size:,} bytes, answers checked against torch's")
    return 0
