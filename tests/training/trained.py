"""Small plans and folders of clips on which the tests of training share."""

import csv
from pathlib import Path

import numpy as np
from tiny_tables import TINY, write_tone

from soundpost.training.__main__ import main

TABLES = f"\nformat = 1{TINY}"
# Two stages, two sets with their own losses, a selection, mixing with partners drawn afresh, a plateau, a best epoch.
SPECTROGRAMS = (
    TABLES
    + """
average_decay = 0.9
norms = "settle"
[sets.curated]
[sets.noisy]
of = "noisy"
heard = "all"
[input]
name = "spectrograms"
[sampler]
name = "by_source"
draws = 12
shares = { noisy = 0.4, curated = 0.6 }
[[augment]]
name = "pad"
frames = 24
[[augment]]
name = "crop"
frames = 24
[[augment]]
name = "resized_crop"
[[augment]]
name = "spec_augment"
[mix]
probability = 0.8
partner = "same_source"
one_of = [{ name = "sigmoid_concat", weight = 0.6 }, { name = "add", weight = 0.4 }]
[loss]
by_set = { curated = { name = "bce", weight = 0.5 }, noisy = { name = "soft_bootstrap", weight = 0.5 } }
[optimiser]
name = "adam"
rate = 5e-3
[[stages]]
name = "warm"
epochs = 3
batch = 4
schedule = { name = "plateau", patience = 1 }
keep = "best"
[[stages]]
name = "directed"
epochs = 2
batch = 4
select = { noisy = { name = "agreement", count = 3 } }
schedule = { name = "one_cycle_v1" }
optimiser = { name = "adamw", rate = 1e-3 }
keep = "best"
slow_starts = 1
"""
)
WAVEFORMS = (
    TABLES
    + """
[input]
name = "waveforms"
[[augment]]
name = "crop"
frames = 2400
last_start = false
[[augment]]
name = "slices"
samples = 800
off_from = 2
[mix]
probability = 0.5
partner = "anyone"
off_from = 2
one_of = [{ name = "or_rule" }]
[loss]
name = "lsep"
[optimiser]
name = "adam"
amsgrad = true
rate = 5e-3
[[stages]]
epochs = 3
batch = 3
drops_last = true
schedule = { name = "linear_cycle" }
"""
)


def top_level(plan: str) -> str:
    """Keys that stand behind tables in the text above, moved in front of them."""
    lines = plan.splitlines()
    moved = [line for line in lines if line.startswith(("average_decay", "norms"))]
    return "\n".join([lines[1], *moved, *(line for line in lines[2:] if line not in moved)])


def make_folder(tmp_path: Path) -> Path:
    """Twelve short tones in two folds, six noisy ones, and both plans."""
    random = np.random.default_rng(0)
    for kind, count in (("curated", 12), ("noisy", 6)):
        (tmp_path / kind).mkdir()
        rows: list[list[object]] = [["fname", "labels", "fold"]]
        for number in range(count):
            write_tone(tmp_path / kind / f"{number}.wav", number, 0.3 + 0.03 * number, random)
            rows.append([f"{number}.wav", "high" if number % 2 else "low", 1 + number % 4 // 2])
        with (tmp_path / f"{kind}.csv").open("w", newline="") as file:
            csv.writer(file).writerows(rows)
    (tmp_path / "spectrograms.toml").write_text(top_level(SPECTROGRAMS))
    (tmp_path / "waveforms.toml").write_text(top_level(WAVEFORMS))
    return tmp_path


def words(folder: Path, plan: str, out: str, *more: str) -> list[str]:
    """A command line."""
    sets = ["--curated", f"{folder / 'curated.csv'}:{folder / 'curated'}"]
    if plan == "spectrograms":
        sets += ["--noisy", f"{folder / 'noisy.csv'}:{folder / 'noisy'}"]
    return [str(folder / f"{plan}.toml"), *sets, "--out", str(folder / out), "--device", "cpu", *more]


def take_one_step(command: list[str]) -> None:
    """Call a training that has no time until it has taken a step; before that, each call makes features of a clip."""
    out = Path(command[command.index("--out") + 1])
    for _ in range(200):
        assert main([*command, "--limit", "0s"]) == 0
        if any(out.glob("*.checkpoint")):
            return
    raise AssertionError(f"no checkpoint in {out}")


def members(out: Path) -> dict[str, bytes]:
    """What a training leaves: recipe and fold files."""
    return {path.name: path.read_bytes() for path in out.iterdir() if path.suffix in (".toml", ".safetensors")}


def same_but_for_the_name(one: Path, other: Path) -> bool:
    """Equal bytes, apart from the folders' own names."""
    first, second = members(one), members(other)
    recipes = [
        found.pop("recipe.toml").replace(out.name.encode(), b"") for found, out in ((first, one), (second, other))
    ]
    return first == second and recipes[0] == recipes[1]
