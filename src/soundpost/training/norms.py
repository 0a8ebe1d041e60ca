"""Running statistics of batch norms in training: the layer's own, settled soon, as Keras kept them, or made again."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from soundpost.errors import SettingsError

WAYS = ("own", "settle", "keras", "again")  # again: its own, and at the end of a stage the trainer makes them anew
KERAS_EPSILON = 1e-3  # what Keras' second correction for sample size takes off besides 1


def settled_momentum(own: float, batches: int) -> float:
    """Momentum that makes the statistics plain means of the first batches, and the layer's own running means later."""
    return max(own, 1 / (batches + 1))


def keras_momentum(own: float, batches: int) -> float:
    """Momentum that makes the statistics those of a running mean divided by what it has seen.

    After one batch they are that batch's, whatever they were before.

    Args:
        own: share of the newest batch, such as 0.15.
        batches: seen before.
    """
    return own / (1 - (1 - own) ** (batches + 1))


class RunningStatistics:
    """Sets the momentum of every batch norm before each batch.

    Args:
        network: whose layers are meant.
        way: "own", "settle", "keras" or "again".

    Source: systems specification of qrfaction for "keras": its running variances are corrected for sample size once
        more, by n / (n - 1.001) instead of, or (pictures) after, n / (n - 1).
    """

    def __init__(self, network: nn.Module, way: str) -> None:
        if way not in WAYS:
            raise SettingsError(f"norms = '{way}'; known: {', '.join(WAYS)}. Correct it.")
        self.way = way
        layers = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
        self._layers = [(layer, layer.momentum) for layer in layers if layer.momentum is not None]

    @contextmanager
    def during(self, batches: int) -> Iterator[None]:
        """Around forward and backward pass of the batch before which so many were seen in this stage."""
        if self.way in ("own", "again"):
            yield
            return
        momentum = keras_momentum if self.way == "keras" else settled_momentum
        corrections: list[Callable[[], None]] = []
        hooks = []
        for layer, own in self._layers:
            layer.momentum = momentum(own, batches)
            if self.way == "keras":
                hooks.append(layer.register_forward_hook(_corrector(layer, corrections)))
        try:
            yield
            # Not sooner: a backward pass wants the statistics as the forward pass left them.
            for correct in corrections:
                correct()
        finally:
            for hook in hooks:
                hook.remove()
            for layer, own in self._layers:
                layer.momentum = own


def _corrector(layer: nn.modules.batchnorm._BatchNorm, corrections: list[Callable[[], None]]) -> Any:
    """A hook that notes how to correct what the coming forward pass adds to the running variance."""
    assert layer.running_var is not None
    before = layer.running_var.clone()

    def note(module: nn.modules.batchnorm._BatchNorm, given: tuple[Tensor, ...], output: Tensor) -> None:
        if not module.training or module.running_var is None or module.momentum is None:
            return
        n = given[0].numel() / given[0].shape[1]
        # torch has put n / (n - 1) into what is new; layers over pictures keep it, the others do not.
        factor = n / (n - 1 - KERAS_EPSILON) if given[0].dim() == 4 else (n - 1) / (n - 1 - KERAS_EPSILON)
        variance, old = module.running_var, before * (1 - module.momentum)

        def correct() -> None:
            with torch.no_grad():
                variance.copy_(old + (variance - old) * factor)

        corrections.append(correct)

    return note
