"""One small network over each picture of "high resolution spectrograms", on the same folds with the same budget.

    python benchmarks/pictures.py

Its ten pictures of the loudest two seconds and its mix of three, on ESC-10: each of four folds is held out once.
Pictures, checkpoints and answers are kept under runs/pictures; what is there is not computed again. Prints a table, in
which "better / worse" counts the clips whose first guess is right with this picture and wrong with log_db, and vice
versa; "chance" is how often a fair coin would split them as unevenly.
"""

import argparse
import json
import sys
from math import comb
from typing import Any

import numpy as np
import torch
from measuring import ROOT
from torch.nn import functional

from soundpost.evaluation.dataset import Table, read_table
from soundpost.evaluation.metrics import mean_average_precision, top_k_error
from soundpost.front_ends.rendering import luminance
from soundpost.importers.recipe_files import template
from soundpost.importers.resnets import PICTURES
from soundpost.training.recipe_fit import LearnerSettings, make_network, spectrograms_of, train

PUBLISHED = {  # top-3 error over 9,473 clips of 41 classes, as the notebooks print it
    "linear_linear": 0.1117,
    "linear_db": 0.1008,
    "log_linear": 0.0995,
    "log_db": 0.0932,
    "mel_linear": 0.1128,
    "mel_db": 0.1035,
    "q1": 0.0983,
    "q2": 0.0987,
    "q4": 0.0940,
    "q8": 0.0943,
    "mix": 0.0849,
}
AGAINST = "log_db"
FILTERS_PER_ROW = 2  # filters for each row of the reassigned pictures; 10 in the release, at a cost in proportion
SHRINK = 2  # pixels of a picture, along both axes, whose mean the network sees as one
MODEL = {"name": "resnet", "layers": [1, 1, 1, 1], "stem": 16, "hidden": 64}
LEARNS = LearnerSettings(epochs=30, batch=16, learning_rate=5e-3, mixup=0.3, longest=192 // SHRINK)
CLIPS = ROOT.parent / "shared" / "data" / "esc10"  # clips/, and clips.csv with folds
OUT = ROOT / "runs" / "pictures"


def recipe_of(name: str) -> dict[str, Any]:
    """The published recipe over a picture, with the small network."""
    recipe = template("hires_spectrogram")
    drawn = dict(PICTURES[name])
    if drawn["name"] == "reassigned_picture":
        drawn["filters_per_row"] = FILTERS_PER_ROW
    view = recipe["views"][0]
    return recipe | {"front_end": drawn, "views": [view | {"frames": view["frames"] // SHRINK}], "model": MODEL}


def pictures(name: str, table: Table) -> np.ndarray:
    """The pictures of every clip, (clips, 3, 224, 224) uint8; stacks are made of the pictures that they name."""
    file = OUT / f"{name}.npy"
    if file.is_file():
        return np.load(file)
    if PICTURES[name]["name"] == "picture_stack":
        parts = [torch.from_numpy(pictures(part, table)) for part in PICTURES[name]["pictures"]]
        drawn = np.stack([torch.stack([luminance(clip) for clip in part]).numpy() for part in parts], 1)
    else:
        drawn = np.stack(spectrograms_of(recipe_of(name), CLIPS / "clips", table.files))
    aside = file.with_suffix(".part")
    with aside.open("wb") as stream:
        np.save(stream, drawn.astype(np.uint8))
    aside.replace(file)
    return np.load(file)


def answers(name: str, table: Table) -> np.ndarray:
    """What networks say about the pictures of clips that they never saw, (clips, classes)."""
    file = OUT / f"{name}.json"
    if not file.is_file():
        whole = torch.from_numpy(pictures(name, table)).float()
        shrunk = functional.avg_pool2d(whole, SHRINK).numpy()
        trained = train(name, recipe_of(name), table, list(shrunk), OUT / "weights" / name, LEARNS)
        aside = file.with_suffix(".part")
        aside.write_text(json.dumps(trained.held_out.tolist()))
        aside.replace(file)
    return np.array(json.loads(file.read_text()))


def main() -> int:
    """Draw, train, and print the table."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    torch.set_num_threads(1)
    OUT.mkdir(parents=True, exist_ok=True)
    table = read_table(CLIPS / "clips.csv", None, 0)
    said = {name: answers(name, table) for name in PUBLISHED}
    right = {name: first_is_right(table.truth, given) for name, given in said.items()}
    numbers = sum(p.numel() for p in make_network(recipe_of(AGAINST), len(table.labels)).parameters())
    print(f"{len(table.files)} clips, a network of {numbers:,} parameters, {LEARNS.epochs} epochs\n")
    print("| picture | published: top-3 error | top-3 error | top-1 error | MAP@3 | better / worse | chance |")
    print("|---|---|---|---|---|---|---|")
    for name, given in said.items():
        errors = [PUBLISHED[name], top_k_error(table.truth, given, 3), top_k_error(table.truth, given, 1)]
        scores = " | ".join(f"{score:.3f}" for score in [*errors, mean_average_precision(table.truth, given, 3)])
        better, worse = int((right[name] & ~right[AGAINST]).sum()), int((right[AGAINST] & ~right[name]).sum())
        print(f"| {name} | {scores} | {better} / {worse} | {chance(better, worse):.2f} |")
    return 0


def first_is_right(truth: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Whether each clip's likeliest class is one of its labels, (clips,)."""
    return truth[np.arange(len(truth)), given.argmax(1)] > 0


def chance(one: int, other: int) -> float:
    """How often a fair coin, thrown one + other times, falls as unevenly."""
    tail = sum(comb(one + other, k) for k in range(min(one, other) + 1))
    return min(1.0, 2 * tail / 2 ** (one + other))


if __name__ == "__main__":
    sys.exit(main())
