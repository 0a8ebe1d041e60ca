"""Writes the section "Figures" of docs/training.md from what the training benchmarks have kept.

    python benchmarks/training_figures.py [--results runs/training] [--page docs/training.md]

What is not there yet is called so; nothing is measured here.
"""

import argparse
import csv
import json
import statistics
import sys
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from measuring import ROOT
from training_at_hand import ESC10, OUT, known
from training_augmentation import ARMS as WAYS
from training_noise import ARMS, MEANS

from soundpost.evaluation.dataset import read_table
from soundpost.evaluation.metrics import accuracy, lwlrap
from soundpost.training.plan import plan_names

TITLE = "## Figures"
NEXT = "## "  # how the section behind begins
PROTOCOLS = ("C", "D", "E", "F")

RESUME = """### Exact resume

`python tests/training/killed_runs.py FOLDER 0` trains a member of every plan, networks and sets made small, once at a
stretch and once killed by SIGKILL at drawn moments and round the end of every stage; member and history must be equal.
"""
COMPACT = """### The compact weights made again

`soundpost train PLAN --curated CSV:CLIPS --out NAME --seed 0 --device cpu` on ESC-10; each clip by the member that
never heard it. Asked for by both views: accuracy 0.934 and lwlrap 0.961, aim 0.957 and 0.97. One clip of 320 is 0.003.
"""
NOISE = """### Label noise that was planted

`python benchmarks/training_noise.py` says what is planted; lwlrap on 200 clean contest-shaped clips of a fold that
nobody heard, mean and its standard error over seeds.
"""
AUGMENTATION = """### argus's augmentation

`python benchmarks/training_augmentation.py`: out of fold over 320 clips, four members each, the same draws and seed;
the epoch kept is the last.
"""
OVERHEAD = """### The trainer's own share

`python benchmarks/training_overhead.py`: CPU time of a step over bare forward, loss, backward and step on the same
batches, in turns in one process, medians; asked: at most 1.15.
"""
OVERFIT = """### Sixteen clips by heart

`python benchmarks/training_overfit.py`: networks at full size, sixteen clips of two classes, nothing drawn; asked:
lwlrap 1.000 and a loss under a tenth of the first. Losses in training have dropout in them, those of the finished
network have none. The recipe's first view, as a kernel hears the clips, may hear other windows than training did.
"""
M0 = """### erc2019's m0 to the letter

`python benchmarks/training_m0.py`: folds of ESC-10, each clip by the member that never heard it.
"""
HEAD = """## Figures

On two cores, one thread a job and two jobs at a time, now and then beside other work. `python
benchmarks/training_figures.py` wrote this section from the results of the commands that it names. Sizes that are not
the published ones are said.
"""


def kept(folder: Path) -> list[dict[str, Any]]:
    """All results of a folder."""
    return [found for path in sorted(folder.glob("*.json")) if (found := known(path))]


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Lines of Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(map(str, line)) + " |" for line in lines] + [""]


def mean_and_error(values: Sequence[float]) -> str:
    """The mean, and its standard error where there are several."""
    if len(values) < 2:
        return f"{statistics.fmean(values):.4f}" if values else "-"
    return f"{statistics.fmean(values):.4f} ± {statistics.stdev(values) / len(values) ** 0.5:.4f}"


def of_resume(results: Path) -> list[str]:
    """Kills and equal bytes."""
    rows = [json.loads(line) for path in sorted((results / "resume").glob("*.jsonl")) for line in path.open()]
    lines = [RESUME]
    if not rows:
        return [*lines, "Not run yet.", ""]
    equal = sum(row["equal"] for row in rows)
    kills, borders = sum(row["kills"] for row in rows), sum(row["borders"] for row in rows)
    odd = ", ".join(row["plan"] for row in rows if not row["equal"])
    text = f"{equal} of {len(rows)} plans (of {len(plan_names())}) byte for byte equal after {kills} kills, "
    text += f"{borders} of them at borders of stages."
    return [*lines, text + (f" Not equal: {odd}." if odd else ""), ""]


def of_compact(results: Path) -> list[str]:
    """Out-of-fold scores of the compact weights made again."""
    lines = [COMPACT]
    rows = []
    shipped = ROOT / "weights" / "compact"
    for folder in [shipped, *sorted(path for path in (results / "compact").glob("*") if path.is_dir())]:
        name = "weights/compact" if folder == shipped else folder.name
        if not (folder / "out_of_fold.csv").is_file():
            done = len(list(folder.glob("fold*.safetensors")))
            rows.append([name, "-", "-", "-", f"{done} of 4 members done"])
            continue
        rows.append([name, *scores_of(folder), ""])
    return [*lines, *table(["weights", "lwlrap, first view", "lwlrap", "accuracy", ""], rows)]


def scores_of(folder: Path) -> list[str]:
    """Scores of a recipe on all clips: lwlrap by its first view, lwlrap and accuracy by all its views."""
    clips = read_table(ESC10.csv, None, 0)
    with (folder / "out_of_fold.csv").open(newline="", encoding="utf-8") as file:
        answers = {row["fname"]: [float(row[label]) for label in clips.labels] for row in csv.DictReader(file)}
    held_out = np.array([answers[name] for name in clips.files])
    gains = tomllib.loads((folder / "recipe.toml").read_text("utf-8"))["gains"]["views"]
    return [f"{gains[0]:.4f}", f"{lwlrap(clips.truth, held_out):.4f}", f"{accuracy(clips.truth, held_out):.4f}"]


def of_noise(results: Path) -> list[str]:
    """Arms, and what was asked of them."""
    lines = [NOISE]
    found = [row for folder in sorted((results / "noise").glob("seed*")) for row in kept(folder) if "arm" in row]
    if not found:
        return [*lines, "Not run yet.", ""]
    by_arm = {arm: {row["seed"]: row for row in found if row["arm"] == arm} for arm in ARMS}
    seeds = sorted(set.intersection(*(set(rows) for rows in by_arm.values())))
    lines += [f"Draws a run: {found[0]['draws']}. Seeds of which all arms are there: {len(seeds)}.", ""]
    rows = []
    for arm, some in by_arm.items():
        scores = [some[seed]["lwlrap"] for seed in some]
        gain = [some[seed]["lwlrap"] - by_arm["B"][seed]["lwlrap"] for seed in some if seed in by_arm["B"]]
        rows.append([arm, MEANS[arm], len(scores), mean_and_error(scores), mean_and_error(gain) if arm != "B" else ""])
    lines += table(["arm", "what is heard", "seeds", "lwlrap", "over B, paired"], rows)
    if seeds:
        lines += table(["figure", "asked", "seen"], _asked_of_noise(by_arm, seeds))
    return lines


def _asked_of_noise(by_arm: dict[str, dict[int, dict[str, Any]]], seeds: Sequence[int]) -> list[list[str]]:
    def mean(arm: str, key: str) -> float:
        return statistics.fmean(by_arm[arm][seed][key] for seed in seeds)

    def over(arm: str, other: str) -> str:
        pairs = [by_arm[arm][seed]["lwlrap"] - by_arm[other][seed]["lwlrap"] for seed in seeds]
        return mean_and_error(pairs)

    best = max(PROTOCOLS, key=lambda arm: mean(arm, "lwlrap"))
    return [
        ["AUC of A's agreement, right against all other clips", "0.85", f"{mean('A', 'auc_right'):.3f}"],
        ["the same, right against swapped and foreign ones", "", f"{mean('A', 'auc_right_or_wrong'):.3f}"],
        *(
            row
            for arm in ("E", "F")
            for row in (
                [
                    f"share of right labels in what {arm} selects ({mean(arm, 'selected'):.0f} clips)",
                    "0.85",
                    f"{mean(arm, 'precision'):.3f}",
                ],
                [
                    f"selected clips per class of {arm}, least over median",
                    "0.3",
                    f"{mean(arm, 'least_over_median'):.2f}",
                ],
            )
        ),
        [f"best protocol ({best}) over B", "+0.03", over(best, "B")],
        [f"best protocol ({best}) over A", "+0.01", over(best, "A")],
        ["C over the same draws with labels as given (soft bootstrapping alone)", "+0.005", over("C", "B_fifth")],
        [f"right labels alone (G) over the best protocol ({best})", "", over("G", best)],
    ]


def of_augmentation(results: Path) -> list[str]:
    """Two rows and their difference."""
    lines = [AUGMENTATION]
    found = kept(results / "augmentation")
    rows = [
        [row["arm"], row["seed"], row["base_size"], row["draws"], f"{row['lwlrap']:.4f}", f"{row['accuracy']:.4f}"]
        for row in found
    ]
    if not rows:
        done = [len(list((results / "augmentation" / f"{way}_0").glob("fold*.safetensors"))) for way in WAYS]
        return [*lines, f"Not finished: {done[0]} of 4 and {done[1]} of 4 members are trained.", ""]
    lines += table(["way", "seed", "base size (published: 64)", "draws a member", "lwlrap", "accuracy"], rows)
    pairs = {seed: {row["arm"]: row["lwlrap"] for row in found if row["seed"] == seed} for _, seed, *_ in rows}
    gains = [pair[WAYS[0]] - pair[WAYS[1]] for pair in pairs.values() if len(pair) == len(WAYS)]
    seen = mean_and_error(gains) if gains else "not finished"
    return [*lines, f"Published over crops, lwlrap: {seen} (asked: +0.03).", ""]


def of_overhead(results: Path) -> list[str]:
    """Ratios."""
    lines = [OVERHEAD]
    rows = [
        [row["plan"], row["batch"], f"{row['bare_ms']:.0f}", f"{row['loop_ratio']:.3f}", f"{row['whole_ratio']:.3f}"]
        for row in kept(results / "overhead")
    ]
    if not rows:
        return [*lines, "Not run yet.", ""]
    return [*lines, *table(["plan", "batch", "bare step, ms", "loop", "with making the batches"], rows)]


def of_overfit(results: Path) -> list[str]:
    """One row a plan."""
    lines = [OVERFIT]
    found = kept(results / "overfit")
    lines += [f"{len(found)} of {len(plan_names())} plans were run.", ""]
    if not found:
        return lines
    rows = []
    for row in found:
        in_training, finished = row["last_loss"] / row["first_loss"], row["learnt_loss"] / row["fresh_loss"]
        scores = f"{row['lwlrap']:.3f}", f"{row['lwlrap_of_view']:.3f}"
        rows.append([row["plan"], row["steps"], *scores, f"{in_training:.3f}", f"{finished:.3f}"])
    losses = "last loss over first, in training", "finished network over fresh one"
    return [*lines, *table(["plan", "steps", "lwlrap", "by the first view", *losses], rows)]


def of_m0(results: Path) -> list[str]:
    """One line."""
    lines = [M0]
    found = known(results / "m0" / "result.json")
    if not found:
        done = len(list((results / "m0" / "m0").glob("fold*.safetensors")))
        return [*lines, f"Not finished: {done} of 4 members are trained.", ""]
    said = f"Folds {', '.join(found['folds'])} ({found['clips']} clips), {found['epochs']} epochs: accuracy "
    said += f"{found['accuracy']:.4f} (asked: 0.84, aim 0.88), lwlrap {found['lwlrap']:.4f}, rate of the last epoch "
    said += f"{found['last_rate']:.0e}, {found['scores_looked_at']} epochs had a score to look at."
    if "accuracy_again" in found:
        said += f" With statistics of the norms made again: accuracy {found['accuracy_again']:.4f}, lwlrap "
        said += f"{found['lwlrap_again']:.4f}."
    return [*lines, said, ""]


PARTS = (of_compact, of_resume, of_noise, of_augmentation, of_overhead, of_overfit, of_m0)


def section(results: Path) -> str:
    """The whole section."""
    return "\n".join([HEAD, *(line for part in PARTS for line in part(results))])


def main() -> int:
    """Put the section in its place, before the one behind it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=OUT)
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "training.md")
    options = parser.parse_args()
    text = options.page.read_text("utf-8")
    before, there, rest = text.partition(TITLE + "\n")
    behind = rest.find("\n" + NEXT)
    tail = rest[behind + 1 :] if there and behind >= 0 else ""
    whole = before.rstrip("\n") + "\n\n" + section(options.results) + ("\n" + tail if tail else "")
    options.page.write_text(whole.rstrip("\n") + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
