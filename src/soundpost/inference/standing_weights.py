"""Convolutions that make their weights anew in every pass, such as standardised ones, get them once.

What weights a layer convolves with is read off two real forward passes; where these differ, because the weights depend
on the clips, or where the layer does more than one convolution of its input, it stays as it was.
"""

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init
from torch.overrides import TorchFunctionMode

from soundpost.inference.fuse_batch_norm import BOUND, logits_of

PLAIN = (nn.Conv1d, nn.Conv2d)
FUNCTIONS = (nn.functional.conv1d, nn.functional.conv2d)
Used = dict[str, tuple[Tensor, Tensor | None]]  # layer -> weights and bias that it convolves with


@torch.inference_mode()
def stand_weights(model: nn.Module, inputs: Tensor) -> nn.Module:
    """A copy of the network with plain layers in place of those, or the network itself where there are none.

    Args:
        model: in evaluation mode, or one that always stays in training mode, which is returned.
        inputs: a batch that it takes, on its device.
    """
    if model.training or not _own_layers(model):
        return model
    used, expected = _used(model, inputs)
    others, _ = _used(model, inputs.flip(-1))
    same = [name for name in used if name in others and torch.equal(used[name][0], others[name][0])]
    if not same:
        return model
    standing = deepcopy(model)
    for name in same:
        parent, _, leaf = name.rpartition(".")
        setattr(standing.get_submodule(parent), leaf, _plain(standing.get_submodule(name), *used[name]))
    change = (logits_of(standing(inputs)) - expected).abs().max()
    return standing if change <= BOUND * expected.abs().max().clamp(min=1.0) else model


def _own_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Convolutions by name that compute otherwise than torch's."""
    forwards = [kind.forward for kind in PLAIN]
    own = {name: layer for name, layer in model.named_modules() if isinstance(layer, PLAIN)}
    return {name: layer for name, layer in own.items() if type(layer).forward not in forwards}


def _plain(layer: nn.Module, weight: Tensor, bias: Tensor | None) -> nn.Module:
    """torch's own layer with given weights."""
    kind = next(kind for kind in PLAIN if isinstance(layer, kind))
    sizes = [getattr(layer, name) for name in ("in_channels", "out_channels", "kernel_size", "stride", "padding")]
    made = skip_init(kind, *sizes, layer.dilation, layer.groups, bias is not None)
    made.weight = nn.Parameter(weight, requires_grad=False)
    made.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)
    return made.train(layer.training)


class _Watch(TorchFunctionMode):
    """Notes with which weights each of some layers convolves its input; None where it is not one convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, tuple[Tensor, Tensor | None] | None] = {}
        self._within: tuple[str, nn.Module, Tensor] | None = None

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        """Called in place of every function of torch."""
        if self._within and func in FUNCTIONS:
            name, layer, given = self._within
            as_it_says = args[0] is given and args[3:] == tuple(
                getattr(layer, key) for key in ("stride", "padding", "dilation", "groups")
            )
            self.found[name] = (args[1], args[2]) if as_it_says and name not in self.found else None
        return func(*args, **(kwargs or {}))

    def enter(self, name: str, layer: nn.Module, args: tuple[Any, ...]) -> None:
        """A layer begins."""
        self._within = (name, layer, args[0])

    def leave(self) -> None:
        """It is done."""
        self._within = None


def _used(model: nn.Module, inputs: Tensor) -> tuple[Used, Tensor]:
    """What each of those layers convolved with in one pass, and the logits."""
    watch, handles = _Watch(), []
    for name, layer in _own_layers(model).items():
        handles.append(layer.register_forward_pre_hook(lambda own, args, name=name: watch.enter(name, own, args)))
        handles.append(layer.register_forward_hook(lambda *_: watch.leave()))
    try:
        with watch:
            logits = logits_of(model(inputs))
    finally:
        for handle in handles:
            handle.remove()
    return {name: found for name, found in watch.found.items() if found is not None}, logits
