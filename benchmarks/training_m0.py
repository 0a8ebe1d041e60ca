"""erc2019's m0 as it was trained, but on ESC-10 and with a fold held out: 71 epochs, batch 64, no score looked at.

    python benchmarks/training_m0.py [--folds 1,2,3,4] [--epochs 71] [--out runs/training/m0]

Everything is the plan erc2019/m0 and its template: cosine wave from 1e-3 to 1e-5, one share a batch for mixing, places,
bands, stretches and reversals drawn anew, twelve passes whose logits are averaged. The published networks heard every
clip; here the csv's folds are held out, so that there is something to score. About an hour a fold on one core.

What is scored twice: members as they are, and with statistics of their norms made again from clips that they heard. The
published script passed its test clips in training mode, so it never used running statistics, and 78 steps an epoch
would have let them settle at the last rate; four of ESC-10 do not. Pixels over 65,025 are as small as Adam's steps
of the biases before the first norm, which no gradient holds, so running means lag behind.
"""

import argparse
import json
import sys
import tomllib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn
from training_at_hand import ESC10, OUT, campaign, keep

from soundpost.ensemble.recipes import Recipe
from soundpost.ensemble.weights_file import load_arrays
from soundpost.evaluation.metrics import accuracy, lwlrap
from soundpost.inference.in_memory import answer
from soundpost.inference.network import build
from soundpost.training.finish import leave_recipe, members_there
from soundpost.training.history_picture import read_history
from soundpost.training.plan import find_plan
from soundpost.training.train import Campaign
from soundpost.views.batch import stack

PLAN = "erc2019/m0"
BATCH = 64


def main() -> int:
    """Train the folds that are asked for, then score those that are there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folds", default="1,2,3,4")
    parser.add_argument("--epochs", type=int, default=71)
    parser.add_argument("--out", type=Path, default=OUT / "m0")
    options = parser.parse_args()
    torch.set_num_threads(1)
    table = tomllib.loads(find_plan(PLAN).read_text("utf-8")) | {"folds": {"name": "column"}}
    table["stages"][0]["epochs"] = options.epochs
    made = campaign(table, {"curated": ESC10}, options.out / "m0")
    for fold in options.folds.split(","):
        made.member(fold)
    found = {"epochs": options.epochs, **scores(made)}
    keep(options.out / "result.json", found)
    print(json.dumps(found))
    return 0


def scores(made: Campaign) -> dict[str, object]:
    """What all passes of the recipe give on the clips whose member is there; the last rate, and epochs with a score."""
    there = members_there(made)
    recipe = leave_recipe(made, there)
    clips = made.shared.clips
    rows = [[row for row in clips.scored if clips.folds[row] == fold] for fold in there]
    truth = np.array(clips.truth)[[row for some in rows for row in some]]
    history = read_history(made.out, there[0])
    scored: dict[str, object] = {}
    for way in ("", "_again"):
        answers = [heard(made, recipe, fold, some, bool(way)) for fold, some in zip(there, rows, strict=True)]
        scored[f"accuracy{way}"] = accuracy(truth, np.concatenate(answers))
        scored[f"lwlrap{way}"] = lwlrap(truth, np.concatenate(answers))
    return {
        "folds": there,
        "clips": len(truth),
        **scored,
        "last_rate": float(history[-1]["rate"]),
        "scores_looked_at": sum(row["score"] != "nan" for row in history),
    }


def heard(made: Campaign, recipe: Recipe, fold: str, rows: list[int], again: bool) -> np.ndarray:
    """(clips, classes) probabilities of a member, as a kernel computes them; statistics as they are, or made again."""
    member = next(member for member in recipe.members if member.fold == fold)
    arrays = load_arrays(made.out / member.file, member.sha256, member.name)
    if again:
        arrays = measured(made, build(recipe, member, arrays), fold)
    return answer(recipe, member, arrays, [made.shared.spectrograms[row] for row in rows], len(recipe.views))


def measured(made: Campaign, network: nn.Module, fold: str) -> dict[str, np.ndarray]:
    """A member's arrays with statistics of its norms over the clips that it heard, as the first view shows them."""
    clips, view, spectrograms = made.shared.clips, made.shared.view, made.shared.spectrograms
    rows = [row for row in clips.scored if clips.folds[row] != fold]
    windows = [(row, window) for row in rows for window in view.windows(spectrograms[row].shape[-1])]
    order = np.random.default_rng(0).permutation(len(windows))

    def shown(part: np.ndarray) -> Tensor:
        chosen = [windows[place] for place in part]
        return view.prepare(stack([spectrograms[row] for row, _ in chosen], [one for _, one in chosen], view).float())

    update_bn(map(shown, np.array_split(order, -(-len(order) // BATCH))), network)
    return {name: value.numpy() for name, value in network.state_dict().items()}


if __name__ == "__main__":
    sys.exit(main())
