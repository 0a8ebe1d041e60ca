"""argus through ONNX: its networks, exported and computed by each runtime, give the published numbers."""

from typing import Any

import numpy as np
import pytest
import torch
from cases import GoldenSet, assert_close, golden
from test_argus import network, tensor, tile_tensors
from torch import Tensor, nn

from soundpost.graph_export.onnx_export import export_network
from soundpost.inference.backends import BACKENDS
from soundpost.inference.backends.graph_network import GraphNetwork
from soundpost.inference.backends.graph_settings import GraphSettings
from soundpost.inference.backends.opening import open_session
from soundpost.inference.fuse_batch_norm import logits_of

pytestmark = pytest.mark.slow

BOUND = 1e-4  # how far a published number may be


def by_runtimes(model: nn.Module, batch: Tensor) -> dict[str, np.ndarray]:
    """Logits (batch, classes) of the exported network, by the name of each runtime."""
    with torch.inference_mode():
        n_classes = logits_of(model(batch[:1])).shape[-1]
    graph = export_network(model.eval(), [batch[:2]], "argus")
    sessions = {name: open_session(name, graph) for name in BACKENDS}
    return {
        name: GraphNetwork(session, GraphSettings(), n_classes, len(graph))(batch).numpy()
        for name, session in sessions.items()
    }


@pytest.mark.parametrize(("place", "case"), golden("argus", "network"))
def test_exported_network_of_argus_gives_the_published_logits(place: GoldenSet, case: dict[str, Any]) -> None:
    """The first head of every published class, a second level among them, by every runtime."""
    model = network(case, case["salt"])

    for name, logits in by_runtimes(model, tensor(case["input"], case["salt"])).items():
        assert_close(place.arrays(case["file"])[case["outputs"][0]["key"]], logits, BOUND, name)


@pytest.mark.parametrize(("place", "case"), golden("argus", "pipeline"))
def test_exported_pipeline_of_argus_gives_the_published_probabilities(place: GoldenSet, case: dict[str, Any]) -> None:
    """From the file over tiles to the mean of probabilities, the network by a runtime in torch's place."""
    tiles = tile_tensors(case["clip"], case)
    model = network(case, case["salt"], case.get("gain"))
    arrays = place.arrays(case["file"])

    for name, logits in by_runtimes(model, tiles).items():
        answers = torch.from_numpy(logits).sigmoid().numpy()
        assert_close(arrays[case["expected"]["tile_probabilities"]["key"]], answers, BOUND, name)
        assert_close(arrays[case["expected"]["clip_probabilities"]["key"]], answers.mean(0), BOUND, name)
