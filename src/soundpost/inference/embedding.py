"""What a network knows of a clip before it names anything: the vector that its last linear layer reads.

For every network of the kit these are the pooled features in front of the class layer. The layer is found by watching
one forward pass: the linear layer whose output is the logits, else the last that has one output for each class. Its
input is the vector, so a network of one's own needs nothing beside the layer that it has anyway. A network that is an
ONNX file has no layers to watch: its recipe names the output that is the vector.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from soundpost.errors import SettingsError
from soundpost.inference.backends.graph_network import GraphNetwork
from soundpost.inference.fuse_batch_norm import logits_of
from soundpost.inference.in_memory import over_windows
from soundpost.inference.predictor import Predictor
from soundpost.registry import build
from soundpost.views import VIEWS
from soundpost.views.view import View


def embed(predictor: Predictor, spectrograms: Sequence[np.ndarray]) -> np.ndarray:
    """The embedding of each clip: mean over the windows of the recipe's first view, (clips, features) float32.

    Args:
        predictor: whose network is asked.
        spectrograms: one for each clip, (channels, bins, frames).

    Raises:
        SettingsError: the network has no linear layer with one output for each class, or is an ONNX file whose recipe
            names no embedding.
    """
    predictor = predictor.by_torch()
    first = predictor.recipe.views[0]
    view = build(VIEWS, first.name, first.settings, "view")

    def vectors(batch: Tensor, view: View) -> Tensor:
        return _vectors(predictor, batch, view)

    window = view.windows(spectrograms[0].shape[-1])[0]
    width = vectors(view.cut(torch.from_numpy(spectrograms[0]), window)[None], view).shape[1]
    return over_windows(vectors, spectrograms, view, width).astype(np.float32)


def class_layer(network: nn.Module, inputs: Tensor, n_classes: int) -> tuple[str, Tensor]:
    """Name of a network's class layer, and what it reads of a batch: (batch, features), or with axes between.

    Raises:
        SettingsError: no linear layer with one output for each class was called.
    """
    seen: list[tuple[str, Tensor, Tensor]] = []

    def note(name: str) -> Any:
        def hook(_: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
            seen.append((name, args[0], output))

        return hook

    handles = [
        module.register_forward_hook(note(name))
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear) and module.out_features == n_classes
    ]
    try:
        logits = logits_of(network(inputs))
    finally:
        for handle in handles:
            handle.remove()
    if not seen:
        raise SettingsError(
            f"{type(network).__name__} has no linear layer with {n_classes} outputs, so there is no vector in front of "
            "it. Ask for predictions, or end the network with nn.Linear."
        )
    name, vectors, _ = next((one for one in seen if one[2] is logits), seen[-1])
    return name, vectors


@torch.inference_mode()
def _vectors(predictor: Predictor, batch: Tensor, view: View) -> Tensor:
    """(windows, features) float32: what the class layer reads, averaged over axes between, or what a graph gives."""
    inputs = predictor.prepare(batch, view)
    predictor.settle(inputs)
    if isinstance(predictor.model, GraphNetwork):
        return predictor.model.vectors(inputs)
    _, vectors = class_layer(predictor.model, inputs, len(predictor.recipe.labels))
    return vectors.float().flatten(1, -2).mean(1) if vectors.ndim > 2 else vectors.float()
