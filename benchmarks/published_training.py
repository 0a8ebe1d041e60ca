"""Recipes of the published systems at full size, trained briefly on a folder of labelled clips.

    python benchmarks/published_training.py [RECIPE ...]

What each is and how it learns stands in published.toml. One member hears all folds but the one that is held out; what
is there already is not trained again. A second level learns from what its inputs say about one window of each clip
that they were trained on, as there is but one fold: it knows them as better than they are.
"""

import argparse
import sys
import time
import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import ROOT
from pictures import pictures

from soundpost import registry
from soundpost.ensemble.blend import Blend
from soundpost.ensemble.recipes import Named, parse_recipe
from soundpost.ensemble.weights_file import load_arrays
from soundpost.evaluation.dataset import Table, read_table
from soundpost.importers.recipe_files import TEMPLATES, ImportedMember, template, write_imported
from soundpost.importers.resnets import PICTURES
from soundpost.inference.network import build
from soundpost.training.plan import read_plan
from soundpost.training.recipe_fit import (
    LearnerSettings,
    make_network,
    spectrograms_of,
    train,
    train_second_level,
)
from soundpost.training.windows import Windows
from soundpost.views import VIEWS

RECIPES: dict[str, dict[str, Any]] = tomllib.loads(Path(__file__).with_name("published.toml").read_text())
CLIPS = ROOT.parent / "shared" / "data" / "esc10"  # clips/, and clips.csv with folds
OUT = ROOT / "runs" / "published" / "weights"
HELD_OUT = "4"  # fold
N_SCORED = 20  # clips of it, which decide what the kernel runs first
ALIASES = read_plan(ROOT / "weights" / "compact" / "plan.toml").aliases


def table_of(name: str) -> dict[str, Any]:
    """The template of a recipe with what it changes there; a picture replaces the template's front end."""
    chosen = RECIPES[name]
    table = template(chosen["template"])
    table["model"] |= chosen.get("model", {})
    return table | ({"front_end": dict(PICTURES[chosen["picture"]])} if "picture" in chosen else {})


@lru_cache(maxsize=1)
def clips() -> Table:
    """The labelled clips."""
    return read_table(CLIPS / "clips.csv", None, 0)


def settings_of(name: str) -> LearnerSettings:
    """How a recipe learns."""
    learns = RECIPES[name]["learns"].items()
    return LearnerSettings(**{key: tuple(value) if isinstance(value, list) else value for key, value in learns})


def is_second_level(name: str) -> bool:
    """Whether a recipe sees answers, not sounds."""
    return RECIPES[name]["template"].endswith("second_level")


_LAST: dict[str, list[np.ndarray]] = {}


def spectrograms(name: str) -> list[np.ndarray]:
    """The spectrograms of all clips, as a recipe sees them; those of the last front end are kept."""
    if "picture" in RECIPES[name]:
        return list(pictures(RECIPES[name]["picture"], clips()))
    table = table_of(name)
    key = repr((table["audio"], table["front_end"]))
    if key not in _LAST:
        _LAST.clear()
        _LAST[key] = spectrograms_of(table, CLIPS / "clips", clips().files)
    return _LAST[key]


def trained(name: str) -> Path:
    """The folder of a recipe, trained if it was not."""
    folder, chosen = OUT / name, RECIPES[name]
    if (folder / "recipe.toml").is_file() and (
        is_second_level(name) or "lwlrap" in (folder / "recipe.toml").read_text()
    ):
        return folder
    start = trained(chosen["start"]) if "start" in chosen else None
    settings = settings_of(name)
    began = time.process_time()
    if is_second_level(name):
        _train_second_level(name, settings)
        print(f"{name}: {time.process_time() - began:.0f} CPU s", flush=True)
        return folder
    known = table_of(name), clips(), spectrograms(name)
    result = train(name, *known, folder, settings, [HELD_OUT], ALIASES, start, N_SCORED, chosen.get("seed", 0))
    member = result.recipe.members[0]
    losses = " ".join(f"{loss:.3f}" for loss in result.losses[HELD_OUT])
    scores = ", ".join(f"{score} {value:.4f}" for score, value in member.scores.items())
    print(f"{name}: losses {losses}; fold {HELD_OUT}: {scores}; {time.process_time() - began:.0f} CPU s", flush=True)
    return folder


def _train_second_level(name: str, settings: LearnerSettings) -> None:
    """On the inputs of its stage in the submission template that names it."""
    stages, number = next(
        (stages, number)
        for path in sorted((TEMPLATES / "submissions").glob("*.toml"))
        if isinstance(blend := tomllib.loads(path.read_text())["blend"], dict)
        for stages in [blend.get("stages", [])]
        for number, stage in enumerate(stages)
        if stage.get("recipe") == name
    )
    first_level = [recipe for recipe in stages[number]["inputs"] if recipe in RECIPES]
    answers = {recipe: answers_in_training(recipe) for recipe in first_level}
    members = [f"{recipe}/{HELD_OUT}" for recipe in first_level]
    for place, stage in enumerate(stages[:number]):
        if stage["output"] in stages[number]["inputs"]:
            blend = Blend(Named("stages", {"stages": stages[: place + 1]}), members)
            several = np.stack([answers[recipe] for recipe in first_level])
            answers[stage["output"]] = blend(several, np.ones(several.shape[:2], bool))
    inputs = np.stack([answers[output] for output in stages[number]["inputs"]], axis=1).astype(np.float32)
    torch.manual_seed(0)
    network = make_network(table_of(name), len(clips().labels))
    learnt = train_second_level(name, table_of(name), network, inputs, clips().truth[_heard()], settings)
    arrays = {key: value.contiguous() for key, value in learnt.state_dict().items()}
    table = table_of(name) | {"aliases": dict(ALIASES)}
    write_imported(OUT / name, name, table, clips().labels, [ImportedMember(HELD_OUT, arrays)])


def _heard() -> list[int]:
    return [row for row, fold in enumerate(clips().folds) if fold != HELD_OUT]


@lru_cache
def answers_in_training(name: str) -> np.ndarray:
    """Probabilities (clips, classes) of the clips that a member heard, each from one window as it was trained on."""
    folder = trained(name)
    recipe = parse_recipe((folder / "recipe.toml").read_text(), name)
    member = recipe.members[0]
    network = build(recipe, member, load_arrays(folder / member.file, member.sha256, member.name))
    known = [spectrograms(name)[row] for row in _heard()]
    view = registry.build(VIEWS, recipe.views[0].name, recipe.views[0].settings, "view")
    numbers = np.arange(len(known), dtype=np.float32)[:, None]
    windows = Windows(known, numbers, view, settings_of(name).longest)
    answers = np.zeros((len(known), len(recipe.labels)), np.float32)
    with torch.inference_mode():
        generator = torch.Generator().manual_seed(0)
        for part in windows.parts(range(len(known)), -(-len(known) // 8), generator):
            inputs, rows = windows.shown(part, generator)
            logits = network(inputs)
            logits = logits[0] if isinstance(logits, tuple) else logits
            answers[rows[:, 0].long()] = logits.sigmoid().numpy()
    return answers


def main() -> int:
    """Train what the command line names, or everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", default=list(RECIPES))
    torch.set_num_threads(1)
    for name in parser.parse_args().recipes:
        trained(name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
