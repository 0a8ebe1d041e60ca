"""Batch norms folded into the layers before them: the same function with a third fewer steps.

Which norm follows which layer is read off one real forward pass, and the folded network must give that pass's answer
again; where it does not, because a layer's output is also used elsewhere, the network stays as it was.
"""

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights, fuse_linear_bn_weights

BOUND = 1e-4  # largest change of a logit, relative to the largest logit, that rounding may cause

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


@torch.inference_mode()
def fold_batch_norms(model: nn.Module, inputs: Tensor) -> nn.Module:
    """A copy of the network with its batch norms folded away, or the network itself where that is not possible.

    Args:
        model: in evaluation mode, or one that always stays in training mode, which is returned.
        inputs: a batch that it takes, on its device.
    """
    if model.training:  # it was made to predict with its batch's statistics, which no fixed factor replaces
        return model
    pairs, expected = _pairs(model, inputs)
    if not pairs:
        return model
    folded = deepcopy(model)
    modules = dict(folded.named_modules())
    for layer_name, norm_name in pairs:
        layer, norm = modules[layer_name], modules[norm_name]
        fuse = fuse_linear_bn_weights if isinstance(layer, nn.Linear) else fuse_conv_bn_weights
        layer.weight, layer.bias = fuse(
            layer.weight, layer.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
        parent, _, leaf = norm_name.rpartition(".")
        setattr(modules[parent], leaf, getattr(norm, "act", nn.Identity()))  # timm's norms hold their activation
    answer = logits_of(folded(inputs))
    close = (answer - expected).abs().max() <= BOUND * expected.abs().max().clamp(min=1.0)
    return folded if close else model


def _pairs(model: nn.Module, inputs: Tensor) -> tuple[list[tuple[str, str]], Tensor]:
    """(layer, norm) by name, where the norm's input is the layer's output; and the logits."""
    made: dict[int, tuple[str, Tensor]] = {}  # id of an output -> its layer; the tensor is kept so that ids stay unique
    pairs: list[tuple[str, str]] = []
    calls: list[str] = []

    def note(name: str) -> Any:
        def hook(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
            calls.append(name)
            if isinstance(module, NORMS):
                if id(args[0]) in made:
                    pairs.append((made[id(args[0])][0], name))
            else:
                made[id(output)] = (name, output)

        return hook

    handles = [
        module.register_forward_hook(note(name))
        for name, module in model.named_modules()
        if isinstance(module, (*CONVOLUTIONS, *NORMS, nn.Linear))
    ]
    try:
        logits = logits_of(model(inputs))
    finally:
        for handle in handles:
            handle.remove()
    once = [(layer, norm) for layer, norm in pairs if calls.count(layer) == 1 and calls.count(norm) == 1]
    return once, logits


def logits_of(output: Any) -> Tensor:
    """The logits in what a network gives, which has auxiliary outputs after them or none."""
    logits: Tensor = output[0] if isinstance(output, (tuple, list)) else output
    return logits
