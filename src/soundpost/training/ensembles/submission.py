"""A choice of recipes as a submission.toml, and what it will say about a clip."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from soundpost.ensemble.blend import Blend
from soundpost.ensemble.recipes import FORMAT, Named, Recipe
from soundpost.errors import SettingsError
from soundpost.training.ensembles.tables import Answers, read_recipe

FIRST_LEVEL = "first_level"  # front end of a recipe that sees other recipes' answers
RULE = "geometric_mean"
KEPT = ("dataset", "contest", "after", "wheels")  # what a submission.toml says beside recipes and blend


def inputs_of(recipe: Recipe) -> tuple[str, ...]:
    """Names of the recipes whose answers a second level sees, in its order; none for a first level.

    Raises:
        SettingsError: a second level that does not say so.
    """
    if recipe.front_end.name != FIRST_LEVEL:
        return ()
    if not (inputs := recipe.front_end.settings.get("inputs")):
        raise SettingsError(
            f"{recipe.name} is a second level and does not say of what. Write inputs = [...] into its [front_end], the "
            "recipes in the order in which it learnt them."
        )
    return tuple(inputs)


def submission_of(recipes: Sequence[Recipe]) -> dict[str, Any]:
    """The table of a submission.toml that blends these recipes, second levels among them, by their geometric mean."""
    first = [recipe.name for recipe in recipes if not inputs_of(recipe)]
    second = [recipe for recipe in recipes if inputs_of(recipe)]
    heard = dict.fromkeys([*first, *(name for recipe in second for name in inputs_of(recipe))])
    table: dict[str, Any] = {"format": FORMAT, "recipes": list(heard)}
    if not second:
        return table | {"blend": {"name": RULE, "folds": RULE}}
    stages: list[dict[str, Any]] = []
    for recipe in second:
        inputs = list(inputs_of(recipe))
        if recipe.front_end.settings.get("mean_last", False):
            stages.append({"output": f"mean for {recipe.name}", "name": "mean", "inputs": inputs})
            inputs = [*inputs, f"mean for {recipe.name}"]
        stages.append({"output": f"by {recipe.name}", "name": "second_level", "recipe": recipe.name, "inputs": inputs})
    answer = [*first, *(f"by {recipe.name}" for recipe in second)]
    stages.append({"output": "answer", "name": RULE, "inputs": answer})
    blend = {"name": "stages", "folds": RULE, "stages": stages}
    return table | {"second_level": [recipe.name for recipe in second], "blend": blend}


def foretold(table: Mapping[str, Any], answers: Answers) -> np.ndarray:
    """What the kernel's own blend makes of out-of-fold answers, (clips, classes) float32.

    Args:
        table: what submission_of has made.
        answers: those of every recipe in it, second levels as they stand in their out_of_fold.csv.
    """
    by_name = {recipe.name: own for recipe, own in zip(answers.recipes, answers.tables, strict=True)}
    second = {name: [lambda rows, own=by_name[name]: own] for name in table.get("second_level", [])}
    blend = table["blend"]
    rule = Named(blend["name"], {key: value for key, value in blend.items() if key != "name"})
    made = Blend(rule, [f"{name}/held out" for name in table["recipes"]], second)
    probabilities = np.stack([by_name[name] for name in table["recipes"]])
    return made(probabilities, np.ones(probabilities.shape[:2], bool))


def write_submission(path: Path, table: Mapping[str, Any], folders: Sequence[Path]) -> tuple[str, ...]:
    """Write a submission; what a former one says of the contest stays.

    Args:
        path: the submission.toml.
        table: what submission_of has made.
        folders: where the recipes lie that were looked at.

    Returns:
        keys of the former one that stay.

    Raises:
        SettingsError: a recipe does not lie beside the file, or the former one is no TOML.
    """
    home = path.parent.resolve()
    if strangers := sorted(folder.name for folder in folders if folder.resolve().parent != home):
        raise SettingsError(
            f"--out {path}: {', '.join(strangers)} not beside it. A submission names folders of its own folder; "
            f"give --out {folders[0].parent / 'submission.toml'}, or move them."
        )
    for name in (*table["recipes"], *table.get("second_level", [])):
        read_recipe(home / name)
    try:
        former = tomllib.loads(path.read_text("utf-8")) if path.is_file() else {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: no TOML ({error}). Remove it, or give another --out.") from error
    kept = {key: former[key] for key in KEPT if key in former}
    aside = path.with_name(f"{path.name}.part")
    aside.write_text(tomli_w.dumps({**table, **kept}), encoding="utf-8", newline="\n")
    aside.replace(path)
    return tuple(kept)
