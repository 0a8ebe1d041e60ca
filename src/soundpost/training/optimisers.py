"""Optimisers by name, and which parameters they move how fast.

Source: systems specifications; parameters of torch's classes as they meet the published steps.

No golden case: sgd, which no published system used.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from soundpost.errors import SettingsError
from soundpost.registry import pick

OPTIMISERS: dict[str, str] = {
    "adam": "torch.optim:Adam",
    "adamw": "torch.optim:AdamW",
    "nadam": "torch.optim:NAdam",
    "nadam_keras": "soundpost.training.nadam_keras:NAdamKeras",
    "sgd": "torch.optim:SGD",
}
NORMS = "norms"  # stands for every normalisation layer in a list of what trains


@dataclass(frozen=True)
class OptimiserSettings:
    """Which one, how fast, and what decays."""

    name: str = "adam"
    rate: float = 1e-3  # learning rate; of the last group where there are several
    first_rate: float = 0.0  # rate of the first group, those between evenly on a log scale; 0: as the last
    betas: tuple[float, float] = (0.9, 0.999)  # the Adam family's
    eps: float = 1e-8
    amsgrad: bool = False
    momentum: float = 0.9  # sgd's, which is Nesterov's
    momentum_decay: float = 4e-3  # nadam's
    decay: float = 0.0  # how fast weights decay; added to the gradient by adam, apart from it by adamw
    decays: str = "everything"  # or "weights": neither biases nor normalisation layers
    groups: tuple[tuple[str, ...], ...] = ()  # prefixes of names, one list for each group, input first; none: one group


def optimiser(settings: OptimiserSettings, network: nn.Module) -> torch.optim.Optimizer:
    """The optimiser of a network's parameters that train.

    Raises:
        SettingsError: an unknown name, or a parameter that belongs to no group.
    """
    rates = spread(settings, max(1, len(settings.groups)))
    rows: list[dict[str, Any]] = []
    for group, rate in zip(groups_of(network, settings.groups), rates, strict=True):
        for is_spared in (False, True):
            some = [value for value in group if value.requires_grad and _is_spared(value, settings) is is_spared]
            if some:
                decay = 0.0 if is_spared else settings.decay
                rows.append({"params": some, "lr": rate, "weight_decay": decay})
    return pick(OPTIMISERS, settings.name, "optimiser")(rows, **_own(settings))


def _own(settings: OptimiserSettings) -> dict[str, Any]:
    if settings.name == "sgd":
        return {"momentum": settings.momentum, "nesterov": settings.momentum > 0}
    shared = {"betas": settings.betas, "eps": settings.eps}
    if settings.name.startswith("nadam"):
        return {**shared, "momentum_decay": settings.momentum_decay}
    return {**shared, "amsgrad": settings.amsgrad}


def spread(settings: OptimiserSettings, groups: int) -> tuple[float, ...]:
    """Learning rate of each group, from input to output, evenly on a log scale; fastai's rule."""
    if not settings.first_rate or groups == 1:
        return (settings.rate,) * groups
    ratio = (settings.rate / settings.first_rate) ** (1 / (groups - 1))
    return tuple(settings.first_rate * ratio**number for number in range(groups))


def groups_of(network: nn.Module, prefixes: Sequence[Sequence[str]]) -> list[list[nn.Parameter]]:
    """The parameters of each group, in the network's order.

    Raises:
        SettingsError: a parameter that belongs to none of the groups, or to several.
    """
    if not prefixes:
        return [list(network.parameters())]
    groups: list[list[nn.Parameter]] = [[] for _ in prefixes]
    for name, value in network.named_parameters():
        homes = [number for number, some in enumerate(prefixes) if _begins(name, some)]
        if len(homes) != 1:
            raise SettingsError(
                f"[optimiser] groups: parameter {name} belongs to {len(homes)} of the {len(prefixes)} groups. Name "
                "prefixes that hold every parameter once."
            )
        groups[homes[0]].append(value)
    return groups


def freeze(network: nn.Module, trainable: Iterable[str]) -> None:
    """Let only parameters train whose name begins with one of these; "norms" means every normalisation layer.

    Raises:
        SettingsError: a prefix that no parameter has.
    """
    prefixes = list(trainable)
    names = [name for name, _ in network.named_parameters()]
    if strange := [some for some in prefixes if some != NORMS and not any(_begins(name, [some]) for name in names)]:
        raise SettingsError(f"trainable: no parameter begins with {', '.join(strange)}. Name parts of the network.")
    norms = {
        f"{module_name}.{name}"
        for module_name, module in network.named_modules()
        if is_norm(module)
        for name, _ in module.named_parameters(recurse=False)
    }
    for name, value in network.named_parameters():
        value.requires_grad_(not prefixes or _begins(name, prefixes) or (NORMS in prefixes and name in norms))


def is_norm(module: nn.Module) -> bool:
    """Whether a layer normalises."""
    return isinstance(module, (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm))


def _begins(name: str, prefixes: Iterable[str]) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


def _is_spared(value: nn.Parameter, settings: OptimiserSettings) -> bool:
    """Whether a parameter never decays: biases, scales, and rows that stand alone."""
    if settings.decays not in ("everything", "weights"):
        raise SettingsError(f"[optimiser] decays = '{settings.decays}'; known: everything, weights. Correct it.")
    return settings.decays == "weights" and not (value.ndim > 1 and value.shape[0] > 1)
