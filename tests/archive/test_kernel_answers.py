"""An archive has the answers of the kernel.py that is built of the same weights."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from archive_runs import tagging
from conftest import LABELS, ClipMaker, RecipeMaker, waveform, write_sample

from soundpost.ensemble.weights_folder import default_root, find_assets
from soundpost.kernel.build import build

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow


def kernel_answers(weights: Path, contest: Path, folder: Path) -> pd.DataFrame:
    """What the built script writes in a process that knows nothing but itself, in float32; it unpacks weights/, too.

    A kernel carries weights in few bits, so that those that it was built of are others.
    """
    folder.mkdir()
    (folder / "kernel.py").write_text(build(ROOT / "src", weights / "submission.toml").text)
    paths = ["--test-dir", contest / "test", "--sample-submission", contest / "sample_submission.csv"]
    options = ["--out", folder / "submission.csv", "--device", "cpu", "--precision", "float32"]
    unpacking = [sys.executable, folder / "kernel.py", "--unpack", folder / "written"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, folder / "kernel.py", *paths, *options]
    done = subprocess.run(list(map(str, command)), env=environment, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    subprocess.run(list(map(str, unpacking)), env=environment, check=True, capture_output=True)
    return pd.read_csv(folder / "submission.csv", index_col="fname", dtype=str)


def test_archive_has_the_answers_of_the_built_kernel_to_the_last_bit(
    make_clips: ClipMaker, make_assets: RecipeMaker, tmp_path: Path
) -> None:
    """Two recipes, no two clips of one length, so that batches are equal: equal float32 numbers, in any part."""
    other = {"name": "log_mel", "sample_rate": 16000, "n_fft": 512, "hop_length": 320, "n_mels": 16}
    weights = make_assets({"folds": 2}, {"folds": 2, "front_end": other, "average": "logit"})
    contest = make_clips([0.3 + 0.17 * i for i in range(14)])
    expected = kernel_answers(weights, contest, tmp_path / "kernel")

    found = tagging(tmp_path / "kernel" / "written" / "weights", tmp_path)(contest / "test", "--part", 5)

    assert list(found.index) == list(expected.index)
    for label in LABELS:
        assert found[label].dtype == np.float32
        np.testing.assert_array_equal(np.array(expected[label], np.float32), found[label].to_numpy())


def test_archive_has_the_answers_of_the_kernel_that_comes_with_soundpost(tmp_path: Path) -> None:
    """All members and views; the clock may divide windows of a clip among batches, so that last bits differ."""
    weights = default_root()
    labels = find_assets(weights).submission.recipes[0].labels
    contest = tmp_path / "contest"
    (contest / "test").mkdir(parents=True)
    names = [f"{number}.wav" for number in range(6)]
    for number, name in enumerate(names):
        soundfile.write(contest / "test" / name, waveform(0.4 + 1.1 * number, number), 16_000)
    write_sample(contest / "sample_submission.csv", names, labels)
    expected = kernel_answers(weights, contest, tmp_path / "kernel").astype(float)

    found = tagging(tmp_path / "kernel" / "written" / "weights", tmp_path)(contest / "test", "--part", 4)

    assert list(found.index) == names
    np.testing.assert_allclose(found[list(labels)], expected[list(labels)], rtol=0, atol=1e-6)
