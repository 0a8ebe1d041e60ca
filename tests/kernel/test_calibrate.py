"""Bit widths by measured effect: chosen on real answers, written beside the recipe, the same at every run."""

import csv
import tomllib
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tomli_w
import torch
from safetensors.torch import save_file

from soundpost.ensemble.weights_file import sha256_of
from soundpost.kernel.calibrate import main
from soundpost.models.compact import Compact, CompactSettings

RATE = 8000  # Hz
WIDTHS = (8, 12)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe of two small members with untrained weights, and four clips to measure on, in clips/ and clips.csv."""
    folder = tmp_path / "small"
    folder.mkdir()
    members = []
    for fold in (1, 2):
        torch.manual_seed(fold)
        path = folder / f"fold{fold}.safetensors"
        save_file(Compact(CompactSettings(bins=16, widths=WIDTHS, strides=(1, 2)), 2).state_dict(), path)
        members.append({"fold": str(fold), "file": path.name, "sha256": sha256_of(path)})
    mel = {"sample_rate": RATE, "n_fft": 512, "hop_length": 256, "n_mels": 16, "fmin": 0.0, "fmax": RATE / 2}
    table = {
        "format": 1,
        "name": "small",
        "labels": ["High", "Low"],
        "audio": {"sample_rate": RATE},
        "front_end": {"name": "log_mel", **mel},
        "model": {"name": "compact", "bins": 16, "widths": list(WIDTHS), "strides": [1, 2]},
        "members": members,
    }
    (folder / "recipe.toml").write_text(tomli_w.dumps(table))
    (tmp_path / "clips").mkdir()
    rows = [["fname", "labels", "fold"]]
    for i, (label, frequency) in enumerate((("High", 3000), ("Low", 200), ("High", 2500), ("Low", 300))):
        seconds = np.arange(RATE) / RATE
        soundfile.write(tmp_path / "clips" / f"{i}.wav", 0.5 * np.sin(2 * np.pi * frequency * seconds), RATE)
        rows.append([f"{i}.wav", label, str(1 + i // 2)])
    with (tmp_path / "clips.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder


def _run(recipe: Path, *options: str) -> int:
    data = recipe.parent
    return main([str(recipe), "--clips", str(data / "clips"), "--csv", str(data / "clips.csv"), *options])


def test_calibration_writes_widths_and_prints_both_scores(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One command says what packing costs: bits for each value, and the scores before and after."""
    assert _run(recipe, "--budget", "5000") == 0

    bits = tomllib.loads((recipe / "packing.toml").read_text())["bits"]
    assert {"stages.1.conv2.weight", "stem.weight"} <= set(bits)
    printed = capsys.readouterr().out
    assert "2 members" in printed
    assert "full precision  lwlrap" in printed
    assert "packed          lwlrap" in printed


def test_calibration_compare_keeps_the_widths(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The scores can be shown again without choosing anything again."""
    _run(recipe, "--budget", "5000")
    written = (recipe / "packing.toml").read_bytes()
    chosen = capsys.readouterr().out

    assert _run(recipe, "--compare") == 0

    assert (recipe / "packing.toml").read_bytes() == written
    assert capsys.readouterr().out == chosen


def test_calibration_fold_without_member_is_named(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A csv of other folds than the recipe's is refused, since a member may only be scored on what it never saw."""
    path = recipe.parent / "clips.csv"
    path.write_text(path.read_text().replace("High,2", "High,7").replace("Low,2", "Low,7"))

    assert _run(recipe) == 2

    assert "fold 7 has no member; members: 1, 2. Give the csv" in capsys.readouterr().err
