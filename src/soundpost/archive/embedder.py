"""A member's network that gives embeddings, for the lanes of the engine."""

import threading
from typing import Any

import torch
from torch import Tensor, nn

from soundpost.inference.backends.graph_network import GraphNetwork
from soundpost.inference.embedding import class_layer
from soundpost.inference.predictor import Predictor
from soundpost.views.view import View


class Embedder:
    """Keeps the protocol BatchModel; what its class layer reads is caught apart for each thread that asks."""

    n_members = 1

    def __init__(self, predictor: Predictor) -> None:
        self.device = predictor.device
        self._predictor = predictor.by_torch()
        self._caught = threading.local()
        self._lock = threading.Lock()
        self._is_tapped = False

    def on_cpu(self) -> "Embedder":
        """The same on the CPU in float32."""
        return Embedder(self._predictor.on_cpu())

    def in_float32(self) -> "Embedder | None":
        """The same in float32; None where it is."""
        twin = self._predictor.in_float32()
        return Embedder(twin) if twin else None

    def can_share(self, view: View) -> bool:  # noqa: ARG002 - the protocol names it
        """Nothing is shared: the class layer of shared windows reads other shapes than that of single ones."""
        return False

    @torch.inference_mode()
    def __call__(self, batch: Tensor, view: View) -> Tensor:
        """(windows, channels, bins, frames) -> (windows, features) float32.

        Raises:
            SettingsError: the network has no linear layer with one output for each class, or is an ONNX file whose
                recipe names no embedding.
        """
        inputs = self._predictor.prepare(batch, view)
        self._predictor.settle(inputs)
        if isinstance(self._predictor.model, GraphNetwork):
            return self._predictor.model.vectors(inputs)
        self._tap(inputs)
        self._predictor.answer(inputs)
        vectors: Tensor = self._caught.vectors
        return vectors.float().flatten(1, -2).mean(1) if vectors.ndim > 2 else vectors.float()

    def _tap(self, inputs: Tensor) -> None:
        """Find the class layer with the first windows, and listen to it from then on."""
        with self._lock:
            if not self._is_tapped:
                model = self._predictor.model
                name, _ = class_layer(model, inputs[:1], len(self._predictor.recipe.labels))
                model.get_submodule(name).register_forward_pre_hook(self._catch)
                self._is_tapped = True

    def _catch(self, _: nn.Module, arguments: tuple[Any, ...]) -> None:
        self._caught.vectors = arguments[0]
