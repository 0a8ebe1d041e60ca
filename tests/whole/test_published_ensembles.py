"""Recipes of three published systems in one submission, run by the engine: its csv holds what their parts compute."""

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile
import tomli_w
import torch
from torch import nn

from soundpost.audio.decode import AudioSettings, decode
from soundpost.ensemble.recipes import Recipe
from soundpost.front_ends import FRONT_ENDS
from soundpost.importers.recipe_files import ImportedMember, template, write_imported
from soundpost.models import MODELS
from soundpost.registry import pick, settings_from
from soundpost.views import VIEWS

LABELS = ("Bark", "Meow", "Purr")
COLUMNS = ("Purr", "Bark", "Meow")
LENGTHS = (13230, 50000, 50000, 150000)  # samples; two alike, so that they share batches
BLEND = {
    "name": "stages",
    "folds": "geometric_mean",
    "stages": [
        {"output": "mean", "name": "mean", "inputs": ["argus", "segments", "stft"], "weights": {"segments": 2.0}},
        {"output": "net", "name": "second_level", "recipe": "stacker", "inputs": ["argus", "segments", "mean"]},
        {"output": "answer", "name": "geometric_mean", "inputs": ["argus", "stft", "net"]},
    ],
}


def make(root: Path, name: str, source: str, model: dict[str, object], folds: int) -> tuple[Recipe, list[nn.Module]]:
    settings = dict(model)
    model_class = pick(MODELS, str(settings.pop("name")), "model")
    networks = []
    for fold in range(folds):
        torch.manual_seed(fold)
        networks.append(model_class(settings_from(model_class.Settings, settings, name), len(LABELS)).eval())
        for module in networks[-1].modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                nn.init.uniform_(module.running_var, 0.1, 0.4)
    members = [ImportedMember(str(fold), network.state_dict()) for fold, network in enumerate(networks)]
    return write_imported(root / name, name, {**template(source), "model": model}, LABELS, members), networks


def by_hand(recipe: Recipe, network: nn.Module, path: Path) -> np.ndarray:
    """One member's answer for one clip from its parts, window after window."""
    waveform = decode(path, AudioSettings(**recipe.audio)).waveform
    front_end_class = pick(FRONT_ENDS, recipe.front_end.name, "front end")
    front_end = front_end_class(settings_from(front_end_class.Settings, recipe.front_end.settings, "front end"))
    view_class = pick(VIEWS, recipe.views[0].name, "view")
    view = view_class(settings_from(view_class.Settings, recipe.views[0].settings, "view"))
    spectrogram = front_end(torch.from_numpy(waveform)[None])[0]
    answers, weights = [], []
    with torch.inference_mode():
        for window in view.windows(spectrogram.shape[-1]):
            logits = network(view.prepare(view.cut(spectrogram, window)[None]))
            answers.append((logits[0] if isinstance(logits, tuple) else logits)[0].sigmoid().numpy())
            weights.append(window.weight)
    return np.average(answers, axis=0, weights=weights)


def test_engine_writes_what_the_parts_of_three_systems_compute(tmp_path: Path) -> None:
    """Tiles, segments and whole clips, folds, weights and a second level: the csv holds the blend computed by hand."""
    weights, clips = tmp_path / "weights", tmp_path / "clips"
    clips.mkdir()
    made = {
        "argus": make(weights, "argus", "argus", {"name": "argus_aux_skip_attention", "base_size": 4}, 2),
        "segments": make(weights, "segments", "qrfaction", {"name": "qrfaction", "width_ratio": 0.05}, 1),
        "stft": make(weights, "stft", "ex4sperans_1d", {"name": "ex4sperans_1d", "base": 4, "aggregation": "rnn"}, 1),
    }
    stacker = {"name": "qrfaction_stacker", "n_inputs": 3}
    _, (second,) = make(weights, "stacker", "qrfaction_second_level", stacker, 1)
    table = {"format": 1, "recipes": list(made), "second_level": ["stacker"], "blend": BLEND}
    (weights / "submission.toml").write_text(tomli_w.dumps(table))
    random = np.random.default_rng(8)
    names = [f"{i}.wav" for i in range(len(LENGTHS))]
    for name, samples in zip(names, LENGTHS, strict=True):
        soundfile.write(clips / name, 0.1 * random.standard_normal(samples), 44100)
    sample = tmp_path / "sample_submission.csv"
    sample.write_text("\n".join([",".join(["fname", *COLUMNS]), *(f"{name},0,0,0" for name in names)]) + "\n")
    out = tmp_path / "submission.csv"
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

    answers = {
        name: [np.array([by_hand(recipe, network, clips / clip) for clip in names]) for network in networks]
        for name, (recipe, networks) in made.items()
    }
    argus = np.sqrt(answers["argus"][0] * answers["argus"][1])
    segments, stft = answers["segments"][0], answers["stft"][0]
    mean = (argus + 2 * segments + stft) / 4
    with torch.inference_mode():
        rows = torch.from_numpy(np.stack([argus, segments, mean], 1).astype(np.float32))
        net = second(rows).sigmoid().numpy()
    expected = np.cbrt(argus * stft * net)
    with out.open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["fname", *COLUMNS]
    assert [row[0] for row in rows] == names
    found = np.array([[float(value) for value in row[1:]] for row in rows])
    np.testing.assert_allclose(found, expected[:, [LABELS.index(column) for column in COLUMNS]], atol=1e-5)
    assert found.std(axis=0).min() > 1e-4, "the networks answer every clip alike, so nothing was compared"
