"""The loss of a stage: smoothed targets, every head, every set's own loss."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from soundpost.errors import SettingsError
from soundpost.registry import build
from soundpost.training.batch import Batch
from soundpost.training.losses import LOSSES
from soundpost.training.losses.loss import Loss, of_heads, of_sources, smoothed
from soundpost.training.plan import LossSettings


class Criterion:
    """What is made small in a stage.

    Args:
        settings: which losses, and their weights.
        sets: names of the plan's sets, in the order of their numbers.
    """

    def __init__(self, settings: LossSettings, sets: Sequence[str]) -> None:
        self.settings = settings
        if unknown := sorted(set(settings.by_set) - set(sets)):
            raise SettingsError(f"[loss] by_set: {', '.join(unknown)}; sets are {', '.join(sets)}. Correct it.")
        plain = _loss(settings.name, settings.settings)
        known: dict[str, Loss] = {}
        self._losses: dict[int, Loss] = {}
        self._weights: dict[int, float] = {}
        for number, name in enumerate(sets):
            table = settings.by_set.get(name)
            self._weights[number] = 1.0 if table is None else float(table.get("weight", 1.0))
            if table is None:
                self._losses[number] = plain
                continue
            # Sets of the same loss are one part of the batch.
            key = repr((table["name"], sorted(table.get("settings", {}).items())))
            self._losses[number] = known.setdefault(key, _loss(table["name"], table.get("settings", {})))

    def __call__(self, outputs: Tensor | Sequence[Tensor], batch: Batch) -> Tensor:
        """A number, in float32, for the outputs of the network to a batch."""
        targets = smoothed(batch.targets, self.settings.smoothing) if self.settings.smoothing else batch.targets
        total = torch.zeros((), device=targets.device)
        for weight, logits in of_heads(outputs, self.settings.heads):
            values = logits.float()
            if self.settings.by_set:
                loss = of_sources(values, targets, batch.sources, self._losses, self._weights)
            else:
                loss = self._losses[0](values, targets)
            total = total + weight * loss
        return total


def _loss(name: str, settings: Any) -> Loss:
    return build(LOSSES, name, settings, "loss", where="[loss]")
