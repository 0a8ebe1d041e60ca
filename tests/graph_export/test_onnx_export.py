"""A torch member as a graph: every network of the registry at every length, and exports that differ are refused."""

import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from conftest import RecipeMaker
from onnx import load_model_from_string
from torch import Tensor, nn

from soundpost.ensemble.weights_folder import find_assets
from soundpost.errors import WeightsError
from soundpost.graph_export import onnx_export
from soundpost.graph_export.onnx_export import BOUND, export_network
from soundpost.importers.__main__ import main
from soundpost.models import MODELS
from soundpost.registry import build


def answers(graph: bytes, windows: Tensor) -> np.ndarray:
    """Logits by ONNX Runtime, called by hand."""
    session = onnxruntime.InferenceSession(graph)
    return session.run(None, {session.get_inputs()[0].name: windows.numpy()})[0]


def normed(bins: int, frames: int) -> tuple[nn.Module, Tensor]:
    """A network with a batch norm that has seen data, and windows."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Dropout(0.9), nn.Linear(8, 4),
    )  # fmt: skip
    windows = torch.randn(2, 1, bins, frames)
    for _ in range(3):
        network(windows)
    return network.eval(), windows


def test_export_folds_batch_norms_and_is_in_evaluation_mode() -> None:
    """No norm and no dropout is left in the graph, and the logits are those of the network with both."""
    network, windows = normed(16, 40)

    graph = export_network(network, [windows, windows[..., :24]], "tiny/1")

    kinds = {node.op_type for node in load_model_from_string(graph).graph.node}
    assert {"Conv", "Gemm"} <= kinds
    assert kinds & {"BatchNormalization", "Dropout"} == set()
    with torch.inference_mode():
        np.testing.assert_allclose(answers(graph, windows), network(windows).numpy(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 1, 16, 10), (5, 1, 16, 33), (3, 1, 16, 200)])
def test_exported_graph_takes_any_batch_and_any_length(shape: tuple[int, ...]) -> None:
    """Sizes that the export has not seen are answered as by torch."""
    network, windows = normed(16, 40)
    graph = export_network(network, [windows, windows[..., :24]], "tiny/1")
    others = torch.randn(*shape)

    with torch.inference_mode():
        np.testing.assert_allclose(answers(graph, others), network(others).numpy(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["ex4sperans_1d", "erc2019_pyramid", "argus_rnn_aux_skip_attention"])
def test_networks_of_published_systems_are_exported_exactly(name: str) -> None:
    """Small ones of three families; recurrent layers, attention and second outputs among them."""
    settings = {
        "ex4sperans_1d": ({"blocks": 3, "base": 4, "start": 0, "bins": 24}, (1, 24)),
        "erc2019_pyramid": ({"widths": [4, 4, 8, 8], "hidden": 8}, (1, 32)),
        "argus_rnn_aux_skip_attention": ({"base_size": 4, "ratio": 4, "last_fc": 4, "last_filters": 4}, (3, 32)),
    }
    table, (channels, bins) = settings[name]
    torch.manual_seed(1)
    network = build(MODELS, name, table, "model", 5).eval()
    batches = [torch.rand(2, channels, bins, frames) for frames in (91, 48)]

    graph = export_network(network, batches, name)

    for batch in batches:
        with torch.inference_mode():
            output = network(batch)
        logits = output[0] if isinstance(output, tuple) else output
        np.testing.assert_allclose(answers(graph, batch), logits.numpy(), rtol=0, atol=1e-5)


class FixedByNumbers(nn.Module):
    """Computes with the number of frames as a Python number, which a trace turns into a constant."""

    def forward(self, windows: Tensor) -> Tensor:
        """(batch, 1, bins, frames) -> (batch, 4)."""
        scale = float(windows.shape[-1]) ** 0.5
        return windows.mean((1, 3))[:, :4] * torch.tensor(scale)


def test_export_whose_answers_differ_is_refused_with_the_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    """What tracing gets wrong at another length is found, measured and said."""
    windows = 5 * torch.randn(2, 1, 16, 40)
    monkeypatch.setattr(onnx_export, "_exported", onnx_export._traced)

    with pytest.raises(
        WeightsError, match=r"export of tiny/1: tracing: logits differ by 0\.\d+ of the largest; .*0\.0001"
    ):
        export_network(FixedByNumbers(), [windows[..., :10], windows], "tiny/1")


def test_difference_that_matters_is_far_above_the_bound_and_rounding_far_below() -> None:
    """The bound lies between what order of sums does and what a wrong graph does."""
    network, windows = normed(16, 40)
    graph = export_network(network, [windows], "tiny/1")
    with torch.inference_mode():
        logits = network(windows)

    assert onnx_export._difference(graph, [windows], [logits], "tiny/1") < BOUND / 10
    assert onnx_export._difference(graph, [windows], [logits + 0.01], "tiny/1") > BOUND


def test_export_command_writes_a_graph_beside_each_fold_and_names_it(
    make_assets: RecipeMaker, capsys: pytest.CaptureFixture[str]
) -> None:
    """recipe.toml has file and sha256 of each; the run finds its bytes."""
    weights = make_assets()

    assert main(["export", "--recipe", "tiny0", "--weights", str(weights)]) == 0

    assert capsys.readouterr().out.count("bytes, answers checked against torch's") == 3
    assets = find_assets(weights)
    for member in assets.submission.recipes[0].members:
        assert assets.graph(member) == (weights / "tiny0" / f"fold{member.fold}.onnx").read_bytes()


def test_export_command_refuses_a_recipe_that_is_not_there(
    make_assets: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """The known ones are listed, and recipe.toml stays as it was."""
    weights = make_assets()
    before = tomllib.loads((weights / "tiny0" / "recipe.toml").read_text())

    assert main(["export", "--recipe", "other", "--weights", str(weights)]) == 2

    assert "--recipe other: no recipe of torch networks is called so; known: tiny0" in capsys.readouterr().err
    assert tomllib.loads((weights / "tiny0" / "recipe.toml").read_text()) == before
