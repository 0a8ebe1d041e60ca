"""Recipes of five systems that see pictures in one submission: the csv is what their parts compute."""

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile
import tomli_w
import torch
from test_published_ensembles import COLUMNS, LABELS, LENGTHS, make
from torch import Tensor, nn

from soundpost.audio.decode import AudioSettings, decode
from soundpost.ensemble.recipes import Named, Recipe
from soundpost.front_ends import FRONT_ENDS
from soundpost.registry import pick, settings_from
from soundpost.views import VIEWS

SMALL_RESNET = {"name": "resnet", "layers": [1, 1, 1, 1], "stem": 4, "hidden": 8}
SYSTEMS = {  # recipe -> template, its network in small, folds
    "erc2019": ("erc2019_m2", {"name": "erc2019_pyramid", "widths": [4, 4, 8]}, 1),
    "seventh": ("seventh_custom", {"name": "erc2019_dcase", "widths": [4] * 5, "hidden": 8}, 1),
    "simongrest": ("simongrest", {"name": "simongrest", "base": 4, "cap": 8}, 2),
    "filipmu": ("filipmu", SMALL_RESNET, 1),
    "hires": ("hires_spectrogram", SMALL_RESNET, 1),
}


def built(registry: dict[str, str], named: Named) -> object:
    entry = pick(registry, named.name, named.name)
    return entry(settings_from(entry.Settings, named.settings, named.name))


def by_hand(recipe: Recipe, network: nn.Module, path: Path) -> np.ndarray:
    """One member's answer for one clip: the windows' weighted mean in each view set, then the mean of the sets."""

    def activated(logits: Tensor) -> Tensor:
        return logits.softmax(-1) if recipe.activation == "softmax" else logits.sigmoid()

    waveform = decode(path, AudioSettings(**recipe.audio)).waveform
    spectrogram = built(FRONT_ENDS, recipe.front_end)(torch.from_numpy(waveform)[None])[0]
    answers = []
    for named in recipe.views:
        view = built(VIEWS, named)
        windows = view.windows(spectrogram.shape[-1])
        with torch.inference_mode():
            logits = torch.cat([network(view.prepare(view.cut(spectrogram, window)[None])) for window in windows])
        weights = torch.tensor([window.weight for window in windows])[:, None]
        seen = logits if recipe.average == "logit" else activated(logits)
        answers.append((seen * weights).sum(0) / weights.sum())
    mean = torch.stack(answers).mean(0)
    return (activated(mean) if recipe.average == "logit" else mean).numpy()


def test_engine_writes_what_the_parts_of_five_picture_systems_compute(tmp_path: Path) -> None:
    """Logits and probabilities, softmax and sigmoid, view sets in parts, weighted zooms: the csv holds their mean.

    The log says that each of the five front ends heard each clip once, though most recipes show it several times.
    """
    weights, clips = tmp_path / "weights", tmp_path / "clips"
    clips.mkdir()
    made = {name: make(weights, name, *system) for name, system in SYSTEMS.items()}
    (weights / "submission.toml").write_text(tomli_w.dumps({"format": 1, "recipes": list(made), "blend": "mean"}))
    random = np.random.default_rng(8)
    names = [f"{i}.wav" for i in range(len(LENGTHS))]
    for name, samples in zip(names, LENGTHS, strict=True):
        fading = np.exp(-np.linspace(0, 3, samples))
        soundfile.write(clips / name, 0.1 * fading * random.standard_normal(samples), 44100)
    sample, out = tmp_path / "sample_submission.csv", tmp_path / "submission.csv"
    sample.write_text("\n".join([",".join(["fname", *COLUMNS]), *(f"{name},0,0,0" for name in names)]) + "\n")
    options = {
        "--assets": weights,
        "--test-dir": clips,
        "--sample-submission": sample,
        "--out": out,
        "--scratch": tmp_path,
        "--time-limit": "5m",
        "--device": "cpu",
        "--precision": "float32",
    }
    command = [sys.executable, "-m", "soundpost.launch.main", *(str(part) for pair in options.items() for part in pair)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert run.returncode == 0, run.stdout + run.stderr
    computed = next(line for line in run.stdout.splitlines() if "spectrograms computed: " in line)
    each = [f"{front_end} {len(names)}" for front_end in ("axis_picture", "pcen", *["picture"] * 3)]
    assert sorted(computed.split("computed: ")[1].split(", ")) == each

    members = [(recipe, network) for recipe, networks in made.values() for network in networks]
    answers = [[by_hand(recipe, network, clips / name) for name in names] for recipe, network in members]
    expected = np.mean(answers, axis=0)[:, [LABELS.index(column) for column in COLUMNS]]
    with out.open(newline="") as file:
        _, *rows = csv.reader(file)
    found = np.array([[float(value) for value in row[1:]] for row in rows])
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert found.std(axis=0).min() > 1e-4, "the networks answer every clip alike, so nothing was compared"
