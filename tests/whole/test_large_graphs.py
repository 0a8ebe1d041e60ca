"""ONNX members of real size: argus's network, 67 MB a fold, within a memory limit and amid injuries."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import LABELS, RATE
from started_runs import Started, start, stop, table

from soundpost.graph_export.onnx_export import export_network
from soundpost.importers.add import name_in_submission
from soundpost.importers.onnx_member import add_onnx
from soundpost.importers.recipe_files import template
from soundpost.models import MODELS
from soundpost.registry import build

pytestmark = pytest.mark.slow

SECONDS = (0.5, 1.0, 2.0, 5.0)
TABLE: dict[str, Any] = {
    "audio": {"sample_rate": RATE},
    "front_end": {"name": "log_mel", "sample_rate": RATE, "n_fft": 1024, "hop_length": 256, "n_mels": 128},
    "views": [{"name": "tiles", "frames": 256, "step": 128}],
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """weights/ of two folds of argus's network as ONNX files, with random weights."""
    folder, files = tmp_path_factory.mktemp("large"), []
    model = template("argus")["model"]
    for fold in range(2):
        torch.manual_seed(fold)
        network = build(MODELS, model["name"], model, "model", len(LABELS)).eval()
        files.append(folder / f"fold{fold}.onnx")
        files[-1].write_bytes(export_network(network, [torch.randn(2, 3, 128, 256)], f"argus/{fold}"))
        assert files[-1].stat().st_size > 60e6
    add_onnx(files, folder / "weights", "large", TABLE, LABELS)
    name_in_submission(folder / "weights", "large", alone=True)
    return folder / "weights"


def peak_of(run: Started) -> tuple[int, int]:
    """Peak memory of a run and what it was allowed, in MB, as it says itself."""
    found = re.search(r"peak memory ([\d,]+) MB of ([\d,]+) MB allowed", run.said())
    assert found, run.said()
    peak, allowed = (int(figure.replace(",", "")) for figure in found.groups())
    return peak, allowed


@pytest.mark.parametrize("backend", ["auto", "onnxruntime", "openvino"])
def test_memory_limit_with_large_graphs_is_kept_at_the_figure_that_a_refusal_names(
    weights: Path, make_clips: Callable[..., Path], tmp_path: Path, backend: str
) -> None:
    """Both folds, every runtime that is tried, and a copy for each lane of one that needs it are in the figure."""
    contest = make_clips(SECONDS)
    refused = start(tmp_path / "refused", weights, contest, "--memory-limit", "300M", "--backend", backend)
    assert refused.finish() == 2, refused.said()
    named = int(re.search(r"below the ([\d,]+)M that", refused.said())[1].replace(",", ""))

    run = start(tmp_path / "run", weights, contest, "--memory-limit", f"{named}M", "--backend", backend)

    assert run.finish() == 0, run.said()
    assert "4 of 4 clips predicted" in run.said()
    assert "2 of 2 passes complete" in run.said()
    peak, allowed = peak_of(run)
    assert peak <= allowed == named, run.said()


def test_engine_that_is_killed_amid_large_graphs_leaves_the_answers_of_an_undisturbed_run(
    weights: Path, make_clips: Callable[..., Path], tmp_path: Path
) -> None:
    """The next engine opens both graphs anew and goes on."""
    contest = make_clips([0.5 + 0.3 * i for i in range(12)])
    runs = {name: start(tmp_path / name, weights, contest, "--backend", "onnxruntime") for name in ("whole",)}
    assert runs["whole"].finish() == 0, runs["whole"].said()
    run = runs["killed"] = start(tmp_path / "killed", weights, contest, "--backend", "onnxruntime")
    run.until(lambda: len(run.versions) > 1)
    engine = next(child for child in run.children.values() if "soundpost.launch.engine_process" in child.cmdline())

    engine.kill()

    assert run.finish() == 0, run.said()
    assert "another one goes on where it stood" in run.said()
    assert (run.faults, run.left_behind()) == ([], [])
    np.testing.assert_allclose(table(run.out), table(runs["whole"].out), rtol=0, atol=2e-5)
    stop(runs)
