"""erc2019's m0 as it was trained, but on ESC-10 and with a fold held out: 71 epochs, batch 64, no score looked at.

    python benchmarks/training_m0.py [--folds 1,2,3,4] [--epochs 71] [--out runs/training/m0]

Everything is the plan erc2019/m0 and its template: cosine wave from 1e-3 to 1e-5, one share a batch for mixing, places,
bands, stretches and reversals drawn anew, twelve passes whose logits are averaged. The published networks heard every
clip; here the csv's folds are held out, so that there is something to score. About half an hour a fold on one core.
"""

import argparse
import csv
import json
import sys
import tomllib
from pathlib import Path

import numpy as np
import tomli_w
import torch
from training_at_hand import ESC10, OUT, keep

from soundpost.evaluation.dataset import read_table
from soundpost.evaluation.metrics import accuracy, lwlrap
from soundpost.training.__main__ import main as train
from soundpost.training.plan import find_plan

PLAN = "erc2019/m0"


def main() -> int:
    """Train, then score what the command has written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folds", default="1,2,3,4")
    parser.add_argument("--epochs", type=int, default=71)
    parser.add_argument("--out", type=Path, default=OUT / "m0")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    table = tomllib.loads(find_plan(PLAN).read_text("utf-8"))
    (options.out / "plan.toml").write_text(tomli_w.dumps({**table, "folds": {"name": "column"}}))
    recipe = options.out / "m0"
    words = [str(options.out / "plan.toml"), "--curated", f"{ESC10.csv}:{ESC10.folder}", "--out", str(recipe)]
    if status := train([*words, "--folds", options.folds, "--epochs", str(options.epochs), "--device", "cpu"]):
        return status
    if not (recipe / "out_of_fold.csv").is_file():
        return 0
    known = read_table(ESC10.csv, None, 0)
    with (recipe / "out_of_fold.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["fname"]: [float(row[label]) for label in known.labels] for row in csv.DictReader(file)}
    with (recipe / "history_1.csv").open(newline="", encoding="utf-8") as file:
        last = list(csv.DictReader(file))[-1]
    answers = np.array([rows[name] for name in known.files])
    found = {
        "epochs": options.epochs,
        "accuracy": accuracy(known.truth, answers),
        "lwlrap": lwlrap(known.truth, answers),
        "last_rate": float(last["rate"]),
        "scores_looked_at": sum(row["score"] != "nan" for row in [last]),
    }
    keep(options.out / "result.json", found)
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
