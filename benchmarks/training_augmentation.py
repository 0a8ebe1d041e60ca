"""argus's published augmentation and mixing against crops alone: out-of-fold lwlrap and accuracy on ESC-10.

    python benchmarks/training_augmentation.py [--base-size 16] [--draws 48000] [--seeds 0] [--out FOLDER]

Both are the plan argus/auxiliary_016 with its network made narrower, its curated clips alone, folds of the csv, batches
of 32, and a cosine over all draws instead of a rate that follows the score: the epoch kept is the last, so no score of
a held-out clip is looked at. "crops" has its padding and cropping and nothing else. Members that are there are not
trained again; one that was cut off goes on from its checkpoint.
"""

import argparse
import json
import sys
import tomllib
from pathlib import Path
from typing import Any

import torch
from training_at_hand import ESC10, OUT, campaign, keep, known, out_of_fold

from soundpost.evaluation.metrics import accuracy, lwlrap
from soundpost.training.plan import find_plan

PLAN = "argus/auxiliary_016"
ARMS = ("published", "crops")
EPOCH = 2400  # draws
BATCH = 32
RATE = 1e-3  # published: 9e-4 at batches of 128
FIRST = ("pad", "crop")  # what makes clips as long as a window


def plan(arm: str, base_size: int, draws: int) -> dict[str, Any]:
    """The table of an arm's plan."""
    table = tomllib.loads(find_plan(PLAN).read_text("utf-8"))
    table["model"]["base_size"] = base_size
    table |= {"sets": {"curated": {}}, "folds": {"name": "column"}, "autocast": "bfloat16"}
    table["sampler"] = {"name": "by_source", "draws": EPOCH, "shares": {"curated": 1.0}}
    table["loss"] = {"heads": table["loss"]["heads"]}
    table["optimiser"]["rate"] = RATE
    cosine = {"name": "warm_cosine", "warm_up": 1}
    table["stages"] = [{"epochs": max(2, draws // EPOCH), "batch": BATCH, "drops_last": True, "schedule": cosine}]
    if arm == "crops":
        table["augment"] = [part for part in table["augment"] if part["name"] in FIRST]
        del table["mix"]
    return table


def run(arm: str, seed: int, options: argparse.Namespace) -> None:
    """All folds of an arm."""
    result = options.out / f"{arm}_{seed}.json"
    if known(result):
        return
    table = plan(arm, options.base_size, options.draws)
    made = campaign(table, {"curated": ESC10}, options.out / f"{arm}_{seed}", seed, options.out / "features")
    truth, held_out = out_of_fold(made)
    of = made.shared.clips
    folds = {
        fold: lwlrap(truth[rows], held_out[rows])
        for fold in made.folds
        if (rows := [place for place, row in enumerate(of.scored) if of.folds[row] == fold])
    }
    found = {
        "arm": arm,
        "seed": seed,
        "base_size": options.base_size,
        "draws": options.draws,
        "lwlrap": lwlrap(truth, held_out),
        "accuracy": accuracy(truth, held_out),
        "folds": folds,
    }
    keep(result, found)
    print(json.dumps(found), flush=True)


def main() -> int:
    """Both arms, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base-size", type=int, default=16, help="channels of the first block; published: 64")
    parser.add_argument("--draws", type=int, default=48_000, help="windows that each member is shown")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--out", type=Path, default=OUT / "augmentation")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for seed in map(int, options.seeds.split(",")):
        for arm in ARMS:
            run(arm, seed, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
