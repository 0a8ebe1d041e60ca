"""Published plans at reduced size: narrow networks, one epoch a stage, two members, a handful of clips."""

import csv
import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import tomli_w

from soundpost.training.plan import find_plan, read_plan

RATE = 44100  # Hz
CLASSES = ("high", "low", "mid")
NARROW: dict[str, dict[str, Any]] = {
    "argus_aux_skip_attention": {"base_size": 4},
    "argus_skip_attention": {"base_size": 4},
    "argus_rnn_aux_skip_attention": {"base_size": 4},
    "erc2019_dcase": {"widths": [4] * 5, "hidden": 8},
    "ex4sperans_1d": {"base": 4, "blocks": 3, "start": 1},
    "ex4sperans_2d": {"base": 4, "blocks": 3, "start": 1},
    "qrfaction": {"width_ratio": 0.05, "rnn_unit": 4},
    "resnet": {"layers": [1, 1, 1, 1], "stem": 4, "hidden": 8, "groups": 1, "width_per_group": 64},
    "simongrest": {"base": 2, "cap": 4},
}
FEW = {"agreement": {"count": 8}, "best_of_each_label": {"each": 3, "at_least": 0.0}}


def make_clips(folder: Path, curated: int = 16, noisy: int = 12) -> Path:
    """Noisy tones of three heights, named as the contest names its clips, and a map of corrections of each kind."""
    random = np.random.default_rng(0)
    for kind, count in (("curated", curated), ("noisy", noisy)):
        (folder / kind).mkdir(parents=True)
        rows = []
        for number in range(count):
            name = f"{random.integers(16**8):08x}.wav"
            write_tone(folder / kind / name, number, random)
            labels = CLASSES[number % 3] if number % 5 else ",".join(CLASSES[:2])
            rows.append([name, labels])
        with (folder / f"train_{kind}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([["fname", "labels"], *rows])
        half = rows[: len(rows) // 2] if kind == "noisy" else rows[:1]
        corrections = {name: "mid" if place % 2 else "low,high" for place, (name, _) in enumerate(half)}
        (folder / f"{kind}_corrections.json").write_text(json.dumps(corrections))
    (folder / "removed.json").write_text("{}")
    return folder


def write_tone(path: Path, number: int, random: np.random.Generator) -> None:
    """A tone whose height says its class, between silences, 0.5 to 0.8 s long."""
    samples = int(RATE * (0.5 + 0.02 * (number % 16)))
    height = (2500, 300, 900)[number % 3]
    sound = 0.3 * np.sin(2 * np.pi * height * np.arange(samples) / RATE) + 0.03 * random.standard_normal(samples)
    soundfile.write(path, sound, RATE, subtype="PCM_16")


def small_plan(name: str, folder: Path, keeps_last: bool = False) -> Path:
    """A published plan, made small and written beside the clips.

    Args:
        name: such as argus/corr_noisy_007.
        folder: the clips', where maps of corrections lie, too.
        keeps_last: whether nothing looks at scores, so that a member depends on nothing of its fold.
    """
    path = find_plan(name)
    table = tomllib.loads(path.read_text("utf-8"))
    table["model"] = {**read_plan(path).model, **NARROW[read_plan(path).model["name"]]}
    table["autocast"] = "none"
    if "count" in table["folds"]:
        table["folds"]["count"] = 2
    if "fraction" in table["folds"]:
        table["folds"]["fraction"] = 0.5
    for one in [table, *table["stages"]]:
        if "draws" in one.get("sampler", {}):
            one["sampler"]["draws"] = 8
    for stage in table["stages"]:
        stage |= {"epochs": 1, "batch": 4}
        stage["select"] = {key: _few(own) for key, own in stage.get("select", {}).items()}
        if stage.get("best"):
            stage["best"] = {"above": stage["best"]["above"]} if "above" in stage["best"] else {}
        if keeps_last:
            stage.pop("best", None)
            stage.pop("slow_starts", None)
            stage["keep"] = "last"
            if stage["schedule"]["name"] == "plateau":
                stage["schedule"] = {"name": "constant"}
    small = folder / f"{name.replace('/', '_')}.toml"
    small.write_text(tomli_w.dumps(table))
    return small


def _few(table: dict[str, Any]) -> dict[str, Any]:
    own = {**table, **FEW.get(table["name"], {})}
    return {**own, "parts": 2} if "parts" in own else own


def command(plan: Path, folder: Path, out: str, *more: str) -> list[str]:
    """A command line over the clips of a folder."""
    sets = [f"--{kind}={folder / f'train_{kind}.csv'}:{folder / kind}" for kind in ("curated", "noisy")]
    return [str(plan), *sets, "--out", str(folder / out), "--device", "cpu", *more]
