"""A member's network, built from its recipe and its arrays alone."""

from collections.abc import Mapping
from copy import deepcopy

import numpy as np
import torch
from torch import nn

from soundpost import registry
from soundpost.ensemble.recipes import Member, Recipe
from soundpost.errors import WeightsError
from soundpost.inference.fuse_batch_norm import CONVOLUTIONS
from soundpost.models import MODELS


def build(recipe: Recipe, member: Member, arrays: Mapping[str, np.ndarray]) -> nn.Module:
    """The member's network in evaluation mode, on the CPU, built from recipe and arrays alone.

    Raises:
        WeightsError: names or shapes of the arrays are not those of the network; the message lists both sides.
        SettingsError: the recipe names a model or a setting that is not known.
    """
    model: nn.Module = registry.build(MODELS, recipe.model.name, recipe.model.settings, "model", len(recipe.labels))
    wanted = model.state_dict()
    missing, unexpected = sorted(set(wanted) - set(arrays)), sorted(set(arrays) - set(wanted))
    shapes = [
        f"{name} {tuple(arrays[name].shape)} instead of {tuple(wanted[name].shape)}"
        for name in sorted(set(wanted) & set(arrays))
        if tuple(arrays[name].shape) != tuple(wanted[name].shape)
    ]
    if missing or unexpected or shapes:
        raise WeightsError(
            f"member {member.name} does not fit model '{recipe.model.name}': missing {missing[:3] or 'none'}, "
            f"unexpected {unexpected[:3] or 'none'}, shapes {shapes[:3] or 'agree'}. Import the weights again."
        )
    model.load_state_dict({name: torch.from_numpy(np.asarray(array)) for name, array in arrays.items()})
    return model.eval()


def rounded(model: nn.Module, half: torch.dtype) -> nn.Module:
    """A copy with its convolutions and linear layers in half precision, where autocast would round at every call."""
    model = deepcopy(model)
    for module in model.modules():
        if isinstance(module, (*CONVOLUTIONS, nn.Linear)):
            module.to(half)
    return model


def copy_on_cpu(model: nn.Module) -> nn.Module:
    """A copy in float32 on the CPU, made without any room on the model's own device, which may be full."""
    made: dict[int, object] = {}
    for parameter in model.parameters():
        made[id(parameter)] = nn.Parameter(_on_cpu(parameter), requires_grad=False)
    for buffer in model.buffers():
        made[id(buffer)] = _on_cpu(buffer)
    return deepcopy(model, made)  # finds every tensor among those that are made


def _on_cpu(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor's own copy in the host's memory; floats in float32."""
    moved = tensor.detach().to("cpu", copy=True)
    return moved.float() if moved.is_floating_point() else moved
