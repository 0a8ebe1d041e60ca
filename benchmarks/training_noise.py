"""Label noise that was planted: do the published protocols find it, and is the network better for it?

    python benchmarks/training_noise.py [--seeds 0,1,2,3,4] [--draws 20000] [--out runs/training/noise]

Eight of ESC-10's ten classes are the vocabulary. Curated: 96 clips, twelve a class, of folds 1-3. Noisy: 800
contest-shaped clips of the other recordings of these folds, low-passed at 6 kHz with noise under them, half of them
with right labels, a quarter with a wrong one, 15 % of the two other classes with any label, 10 % with one label
missing. Scored: 200 clean contest-shaped clips of fold 4, by lwlrap. Every arm is the compact network from the same
seed, with as many draws. What is there already is not trained again; what was cut off goes on from its checkpoint.
"""

import argparse
import csv
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from training_at_hand import OUT, campaign, keep, known, member
from training_noise_clips import RIGHT, WRONG, write_seed, write_test

from soundpost.evaluation.metrics import lwlrap
from soundpost.training.clips import Source
from soundpost.training.measures import precision_of_clips
from soundpost.training.train import Campaign

EPOCH = 1000  # draws
BATCH = 25
FRAMES = 250  # 5 s
FOLD = "test"  # the only fold, held out by the only member
N_CLASSES, N_CURATED, N_NOISY = 8, 96, 800
RATE = 3e-3
SOFT = {"name": "soft_bootstrap", "settings": {"beta": 0.7}}
ROUNDS = (100, 150, 200)  # clips that agree best; the last is half of the right ones

BASE: dict[str, Any] = {
    "autocast": "bfloat16",
    "average_decay": 0.99,
    "model": {"name": "compact", "strides": [2, 2, 2, 1]},
    "sets": {"curated": {}, "noisy": {"of": "noisy", "heard": "all"}},
    "input": {"name": "spectrograms"},
    "augment": [
        {"name": "pad", "frames": FRAMES, "ways": {"wrap": 0.5, "minimum": 0.5}},
        {"name": "crop", "frames": FRAMES},
        {"name": "spec_augment", "probability": 0.5},
    ],
    "mix": {
        "probability": 0.66,
        "partner": "same_source",
        "one_of": [{"name": "sigmoid_concat", "weight": 0.6}, {"name": "add", "weight": 0.4}],
    },
    "optimiser": {"name": "adamw", "rate": RATE, "decay": 0.05, "decays": "weights"},
}


def stage(name: str, share: float, noisy: float, **more: Any) -> dict[str, Any]:
    """A stage of that share of all draws, of which a share is noisy; shares become epochs in plan()."""
    shares = {"curated": 1 - noisy, "noisy": noisy}
    heard = [known for known, part in shares.items() if part]
    sampler = {"name": "by_source", "draws": EPOCH, "shares": {known: shares[known] for known in heard}}
    return {"name": name, "share": share, "heard": heard, "sampler": sampler, **more}


def agreement(count: int) -> dict[str, Any]:
    """Every clip is drawn as often as any other."""
    return {"noisy": {"name": "agreement", "count": count}}


ALL = N_NOISY / (N_CURATED + N_NOISY)
ARMS: dict[str, list[dict[str, Any]]] = {
    "A": [stage("curated", 1.0, 0.0)],
    "B": [stage("as_given", 1.0, ALL)],
    "B_fifth": [stage("as_given", 1.0, 0.2)],
    "C": [stage("soft", 1.0, 0.2, loss={"by_set": {"curated": {"name": "bce"}, "noisy": SOFT}})],
    "D": [stage("pre-training", 0.5, 1.0), stage("fine-tuning", 0.5, 0.0)],
    "E": [
        stage("curated", 0.4, 0.0),
        *(stage(f"round_{n}", 0.2, k / (N_CURATED + k), select=agreement(k)) for n, k in enumerate(ROUNDS, 1)),
    ],
    "F": [
        stage("curated", 0.5, 0.0),
        stage(
            "directed",
            0.5,
            0.5,
            select={"noisy": {"name": "best_of_each_label", "each": ROUNDS[-1] // N_CLASSES, "at_least": 0.33}},
            optimiser={**BASE["optimiser"], "rate": RATE / 10},
        ),
    ],
    "G": [stage("right_ones", 1.0, 0.5 * N_NOISY / (N_CURATED + 0.5 * N_NOISY))],
}
MEANS = {
    "A": "curated clips alone",
    "B": "all clips, labels as given",
    "B_fifth": "every fifth draw noisy, labels as given",
    "C": "argus: every fifth draw noisy, soft bootstrapping 0.7",
    "D": "qrfaction: all noisy clips first, then curated ones",
    "E": "ex4sperans: three rounds of the clips that agree best",
    "F": "simongrest: best of each label, from the curated network, a tenth of the rate",
    "G": "the noisy clips with right labels, which nobody knows",
}


def plan(arm: str, draws: int) -> dict[str, Any]:
    """The table of an arm's plan."""
    stages = []
    for settings in ARMS[arm]:
        epochs = max(1, round(settings["share"] * draws / EPOCH))
        cosine = {"name": "warm_cosine", "warm_up": min(2, epochs - 1)}
        rest = {key: value for key, value in settings.items() if key != "share"}
        stages.append({"epochs": epochs, "batch": BATCH, "schedule": cosine, **rest})
    table = {**BASE, "stages": stages}
    if arm == "G":
        rules = [{"name": "corrected", "corrections": "oracle.json"}]
        table["sets"] = {**BASE["sets"], "noisy": {**BASE["sets"]["noisy"], "rules": rules}}
    return table


def detector(made: Campaign, answers: np.ndarray, kinds: Mapping[str, str]) -> dict[str, float]:
    """How well a clip's agreement with its label tells right labels from others; areas under the curve."""
    clips = made.shared.clips
    rows = [row for row, source in enumerate(clips.sources) if source == "noisy"]
    agrees = precision_of_clips(clips.truth[rows], answers)
    kind = np.array([kinds[clips.files[row]] for row in rows])
    told = np.isin(kind, [RIGHT, *WRONG])
    return {
        "auc_right": float(roc_auc_score(kind == RIGHT, agrees)),
        "auc_right_or_wrong": float(roc_auc_score(kind[told] == RIGHT, agrees[told])),
    }


def selection(out: Path, kinds: Mapping[str, str]) -> dict[str, Any]:
    """What the last stage has chosen: how many, the share of right labels, and how evenly over classes."""
    with (out / f"selected_{FOLD}.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    chosen = [row for row in rows if row["stage"] == rows[-1]["stage"]]
    labels = [label for row in chosen for label in row["labels"].split(",")]
    counts = [labels.count(label) for label in sorted(set(labels))]
    right = [kinds[row["fname"]] == RIGHT for row in chosen]
    return {
        "selected": len(chosen),
        "precision": float(np.mean(right)),
        "least_over_median": float(min(counts) / np.median(counts)) if len(counts) == N_CLASSES else 0.0,
    }


def run(arm: str, seed: int, draws: int, out: Path) -> None:
    """One arm, from one seed."""
    result = out / f"seed{seed}" / f"{arm}.json"
    if known(result):
        return
    clips = out / f"seed{seed}" / "clips"
    kinds = json.loads((clips / "kinds.json").read_text("utf-8"))
    folder = out / f"seed{seed}" / arm
    folder.mkdir(parents=True, exist_ok=True)
    wrong = {name: "remove" for name, kind in kinds.items() if kind != RIGHT}
    (folder / "oracle.json").write_text(json.dumps(wrong))
    given = {name: Source(clips / f"{name}.csv", clips / name) for name in ("curated", "noisy")}
    made = campaign(plan(arm, draws), given, folder, seed, out / f"seed{seed}" / "features")
    network = member(made, FOLD)
    of = made.shared.clips
    test = [row for row in of.scored if of.folds[row] == FOLD]
    found: dict[str, Any] = {
        "arm": arm,
        "seed": seed,
        "draws": draws,
        "lwlrap": lwlrap(of.truth[test], made.answers(network, test)),
    }
    if arm == "A":
        noisy = [row for row, source in enumerate(of.sources) if source == "noisy"]
        found |= detector(made, made.answers(network, noisy), kinds)
    if arm in ("E", "F"):
        found |= selection(folder, kinds)
    keep(result, found)
    print(json.dumps(found), flush=True)


def main() -> int:
    """All arms from all seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--draws", type=int, default=20_000)
    parser.add_argument("--out", type=Path, default=OUT / "noise")
    options = parser.parse_args()
    torch.set_num_threads(1)
    test = write_test(options.out)
    for seed in map(int, options.seeds.split(",")):
        write_seed(options.out / f"seed{seed}" / "clips", test, seed)
        for arm in options.arms.split(","):
            run(arm, seed, options.draws, options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
