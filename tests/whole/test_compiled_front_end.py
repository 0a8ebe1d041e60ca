"""A kernel whose front end is compiled while it runs: the csv is what its parts compute."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tomli_w
import torch
from test_picture_ensembles import SMALL_RESNET, by_hand
from test_published_ensembles import COLUMNS, LABELS

from soundpost.ensemble.recipes import Recipe
from soundpost.importers.recipe_files import ImportedMember, template, write_imported
from soundpost.kernel.build import build
from soundpost.models.resnet import ResNet, ResNetSettings
from soundpost.registry import settings_from

ROOT = Path(__file__).resolve().parents[2]
PICTURE = {"name": "reassigned_picture", "q": 1.0, "filters_per_row": 1}  # ten times as quick as published


@pytest.fixture
def made(tmp_path: Path) -> tuple[Recipe, torch.nn.Module]:
    """A recipe of one small network over reassigned pictures, and the network."""
    torch.manual_seed(1)
    given = {key: value for key, value in SMALL_RESNET.items() if key != "name"}
    network = ResNet(settings_from(ResNetSettings, given, "hires"), len(LABELS)).eval()
    table = {**template("hires_spectrogram"), "front_end": PICTURE, "model": SMALL_RESNET}
    members = [ImportedMember("0", network.state_dict())]
    recipe = write_imported(tmp_path / "weights" / "hires", "hires", table, LABELS, members)
    submission = tomli_w.dumps({"format": 1, "recipes": ["hires"], "blend": "mean"})
    (tmp_path / "weights" / "submission.toml").write_text(submission)
    return recipe, network


@pytest.fixture
def kernel(tmp_path: Path, made: tuple[Recipe, torch.nn.Module]) -> Path:
    """The kernel that carries it, in a folder of its own, and three clips in another."""
    (tmp_path / "alone").mkdir()
    (tmp_path / "clips").mkdir()
    random = np.random.default_rng(3)
    for number in range(3):
        samples = 30000 + 9000 * number
        tone = np.sin(0.03 * 4**number * np.arange(samples)) * np.exp(-np.linspace(0, number, samples))
        sound = 0.5 * tone + 0.2 * (2 - number) * random.standard_normal(samples)
        soundfile.write(tmp_path / "clips" / f"{number}.wav", sound / 3, 22050)
    rows = [["fname", *COLUMNS], *([f"{number}.wav", *"000"] for number in range(3))]
    (tmp_path / "sample_submission.csv").write_text("\n".join(map(",".join, rows)) + "\n")
    path = tmp_path / "alone" / "kernel.py"
    path.write_text(build(ROOT / "src", tmp_path / "weights" / "submission.toml").text)
    return path


def run(kernel: Path) -> subprocess.CompletedProcess[str]:
    """What the kernel prints, in an environment that knows no checkout."""
    folder = kernel.parents[1]
    options = {"--test-dir": "clips", "--sample-submission": "sample_submission.csv", "--out": "submission.csv"}
    paths = [str(part) for name, path in options.items() for part in (name, folder / path)]
    rest = ["--device", "cpu", "--precision", "float32", "--workers", "2", "--time-limit", "5m"]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(kernel), *paths, *rest]
    return subprocess.run(
        command, cwd=kernel.parent, env=environment, capture_output=True, text=True, timeout=240, check=False
    )


@pytest.mark.slow
def test_kernel_with_a_compiled_front_end_writes_what_its_parts_compute(
    kernel: Path, made: tuple[Recipe, torch.nn.Module], tmp_path: Path
) -> None:
    """Out of the block of source, in forked workers: pictures as they are here, and nothing left beside the kernel."""
    done = run(kernel)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "spectrograms computed: reassigned_picture 3" in done.stdout
    assert [path.name for path in kernel.parent.iterdir()] == ["kernel.py"]
    recipe, network = made
    answers = [by_hand(recipe, network, tmp_path / "clips" / f"{number}.wav") for number in range(3)]
    with (tmp_path / "submission.csv").open(newline="") as file:
        _, *rows = csv.reader(file)
    found = np.array([[float(value) for value in row[1:]] for row in rows])
    expected = np.array(answers)[:, [LABELS.index(column) for column in COLUMNS]]
    np.testing.assert_allclose(found, expected, atol=2e-4)  # weights travel in fewer bits
    assert found.std(axis=0).min() > 1e-3, "the network answers every clip alike, so nothing was compared"
