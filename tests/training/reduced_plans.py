"""The published plans with everything that costs time made small: networks, stages, batches, sets."""

import csv
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import tomli_w

from soundpost.training.plan import find_plan, read_plan

RATE = 44100  # Hz
N_CURATED, N_NOISY = 14, 8
SMALL_NETWORKS: dict[str, dict[str, Any]] = {
    "argus_skip_attention": {"base_size": 4},
    "argus_aux_skip_attention": {"base_size": 4},
    "argus_rnn_aux_skip_attention": {"base_size": 4},
    "erc2019_dcase": {"widths": [8, 8, 8, 8, 8], "hidden": 8},
    "erc2019_plain": {"widths": [8, 8, 8, 8], "hidden": 8},
    "erc2019_pyramid": {"widths": [8, 8, 8, 8], "hidden": 8},
    "ex4sperans_1d": {"base": 4},
    "ex4sperans_2d": {"base": 4},
    "inception": {"width_ratio": 0.125},
    "qrfaction": {"width_ratio": 0.05, "rnn_unit": 8},
    "resnet": {"stem": 4, "layers": [1, 1, 1, 1], "hidden": 8},
    "simongrest": {"base": 2, "cap": 8},
}
# Samples of a waveform, where a plan says how many; frames of spectrograms stay as they are.
SMALL_LENGTHS = {"crop": ("frames", 10000), "slices": ("samples", 2000)}


def write_reduced(name: str, folder: Path) -> Path:
    """The file of a published plan's reduced copy."""
    path = find_plan(name)
    plan = read_plan(path)
    table = dataclasses.asdict(plan)
    table["model"] |= SMALL_NETWORKS[table["model"]["name"]]
    if table["model"].get("groups", 1) > 1:
        table["model"] |= {"groups": 2, "width_per_group": 32}
    is_waveforms = table["input"]["name"] == "waveforms"
    stages = [_stage(dict(stage), is_waveforms) for stage in table["stages"]]
    table |= {"stages": stages, "augment": _augment(table["augment"], is_waveforms)}
    table["sampler"] = _sampler(table["sampler"])
    own = folder / name.replace("/", "_")
    own.mkdir(parents=True, exist_ok=True)
    for rules in (settings.get("rules", ()) for settings in table["sets"].values()):
        for rule in rules:
            if "corrections" in rule:
                corrections = {"0.wav": "remove", "1.wav": "low,high", "3.wav": "high"}
                (own / rule["corrections"]).write_text(json.dumps(corrections))
    (own / "plan.toml").write_text(tomli_w.dumps(table))
    return own / "plan.toml"


def _stage(stage: dict[str, Any], is_waveforms: bool) -> dict[str, Any]:
    """Two epochs of three or four batches; what happens from a later epoch on happens from the second."""
    stage |= {"epochs": 2, "batch": 4}
    if "best" in stage:
        late = {key: 1 for key in ("first", "patience", "stop_from") if key in stage["best"]}
        stage["best"] = stage["best"] | late
    if "augment" in stage:
        stage["augment"] = _augment(stage["augment"], is_waveforms)
    if "sampler" in stage:
        stage["sampler"] = _sampler(stage["sampler"])
    if "off_from" in stage.get("mix", {}):
        stage["mix"] = stage["mix"] | {"off_from": 1}
    if "epochs" in stage["schedule"]:
        stage["schedule"] = stage["schedule"] | {"epochs": [1]}
    if "half_period" in stage["schedule"]:
        stage["schedule"] = stage["schedule"] | {"half_period": 1}
    chosen = {"count": 6, "each": 2, "take": 2}
    stage["select"] = {
        name: rule | {key: few for key, few in chosen.items() if key in rule}
        for name, rule in stage.get("select", {}).items()
    }
    return stage


def _augment(tables: Any, is_waveforms: bool) -> list[dict[str, Any]]:
    found = []
    for table in tables:
        own = dict(table)
        if is_waveforms and own["name"] in SMALL_LENGTHS:
            key, samples = SMALL_LENGTHS[own["name"]]
            own[key] = samples
        if "off_from" in own:
            own["off_from"] = 1
        found.append(own)
    return found


def _sampler(table: Any) -> dict[str, Any]:
    return dict(table) | ({"draws": 12} if "draws" in table else {})


def write_clips(folder: Path) -> list[str]:
    """Short tones in noise, curated ones in two folds and noisy ones; the words of a command line that name them."""
    random = np.random.default_rng(0)
    words = []
    for kind, count in (("curated", N_CURATED), ("noisy", N_NOISY)):
        (folder / kind).mkdir()
        rows: list[list[object]] = [["fname", "labels", "fold"]]
        for number in range(count):
            seconds = np.arange(int(RATE * (0.25 + 0.02 * number))) / RATE
            tone = np.sin(2 * np.pi * (2500 if number % 2 else 300) * seconds)
            sound = 0.3 * tone + 0.05 * random.standard_normal(len(seconds))
            soundfile.write(folder / kind / f"{number}.wav", sound, RATE, subtype="PCM_16")
            rows.append([f"{number}.wav", "high" if number % 2 else "low", 1 + number % 4 // 2])
        with (folder / f"{kind}.csv").open("w", newline="") as file:
            csv.writer(file).writerows(rows)
        words += [f"--{kind}", f"{folder / kind}.csv:{folder / kind}"]
    return words
