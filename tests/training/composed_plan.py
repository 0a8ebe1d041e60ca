"""A small folder of clips and a plan of composed clips, trained by the command, for the tests of what it leaves."""

import csv
from pathlib import Path

import numpy as np
import soundfile
import torch
from safetensors.torch import load_file
from tiny_tables import RATE, TINY

from soundpost.ensemble.recipes import Recipe, parse_recipe
from soundpost.training.__main__ import main

LABELS = ("high", "low", "noise")
PLAN = (
    f"\naverage_decay = 0.998{TINY}"
    """\
[input]
name = "composed"
shortest = 0.3
longest = 0.5
speeds = [1.0, 1.2]
[optimiser]
name = "adamw"
rate = 3e-3
decay = 0.05
decays = "weights"
[[stages]]
epochs = 2
batch = 4
schedule = { name = "warm_cosine" }
[[views]]
name = "band_shifts"
[aliases]
low = "Low_tone"
"""
)


def make_small_folder(tmp_path: Path) -> Path:
    """Eight short clips in two folds, one of them with two labels, a csv and a plan."""
    random = np.random.default_rng(0)
    rows = []
    for number in range(8):
        seconds = np.arange(int(RATE * (0.4 + 0.05 * number))) / RATE
        labels = [LABELS[number % 3]] if number else ["low", "noise"]
        tone = np.sin(2 * np.pi * (300 if "low" in labels else 2500) * seconds)
        sound = 0.3 * tone * ("noise" not in labels) + 0.1 * random.standard_normal(len(seconds))
        soundfile.write(tmp_path / f"{number}.wav", sound, RATE, subtype="PCM_16")
        rows.append([f"{number}.wav", ",".join(labels), number % 2 + 1])
    write(tmp_path / "clips.csv", [["fname", "labels", "fold"], *rows])
    write(tmp_path / "no_folds.csv", [["fname", "labels"], *(row[:2] for row in rows)])
    (tmp_path / "plan.toml").write_text(PLAN)
    return tmp_path


def write(path: Path, rows: list[list[object]]) -> None:
    """A csv."""
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def rows(path: Path) -> list[list[str]]:
    """Rows of a csv."""
    with path.open(newline="") as file:
        return list(csv.reader(file))


def train(folder: Path, out: str, *more: str, table: str = "clips.csv") -> Path:
    """Train to the end; the folder that is left."""
    assert command(folder, out, *more, table=table) == 0
    return folder / out


def command(folder: Path, out: str, *more: str, table: str = "clips.csv") -> int:
    """The status of the command."""
    where = ["--curated", f"{folder / table}:{folder}", "--out", str(folder / out), "--device", "cpu"]
    return main([str(folder / "plan.toml"), *where, *more])


def weights(out: Path, fold: str) -> dict[str, torch.Tensor]:
    """Arrays of a member."""
    return load_file(out / f"fold{fold}.safetensors")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Whether two members are equal to the last bit."""
    return all(torch.equal(one[name], other[name]) for name in one)


def recipe(out: Path) -> Recipe:
    """The recipe that is left."""
    return parse_recipe((out / "recipe.toml").read_text(), "recipe.toml")
