"""Brightness and contrast of pictures changed."""

from dataclasses import dataclass
from math import log
from typing import ClassVar

import torch
from torch import Generator, Tensor

from soundpost.training import draws
from soundpost.training.batch import Batch
from soundpost.views.lit_crops import CLOSEST


@dataclass(frozen=True)
class LightingSettings:
    """How often and how much."""

    probability: float = 0.75  # how likely brightness changes, and how likely contrast
    brightness: tuple[float, float] = (0.4, 0.6)  # least and most change; 0.5 is none
    contrast: tuple[float, float] = (0.8, 1.25)  # least and largest factor, evenly on a log scale
    divisor: float = 1.0  # by which values are divided first, 255 for pictures of bytes


class Lighting:
    """Pictures with values in [0, 1] whose logits are shifted and scaled.

    Source: systems specification of filipmu, fastai v1's lighting transforms.
    """

    Settings: ClassVar[type] = LightingSettings

    def __init__(self, settings: LightingSettings) -> None:
        self.settings = settings

    def draw(self, batch: Batch, generator: Generator) -> Tensor:
        """(batch, 2) change of brightness and factor of contrast of each clip; 0.5 and 1 where nothing happens."""
        chosen, count = self.settings, len(batch)
        is_brighter, is_scaled = (draws.chance(count, chosen.probability, generator) for _ in range(2))
        change = draws.uniform(count, *chosen.brightness, generator)
        factor = draws.uniform(count, log(chosen.contrast[0]), log(chosen.contrast[1]), generator).exp()
        return torch.stack([change.where(is_brighter, 0.5), factor.where(is_scaled, 1.0)], 1)

    def apply(self, batch: Batch, drawn: Tensor) -> Batch:
        """Pictures of the same sizes; those to which nothing happens stay as they are to the last bit."""
        change, factor = (batch.per_clip(drawn[:, column]) for column in (0, 1))
        pictures = batch.inputs / self.settings.divisor
        lit = torch.sigmoid((torch.logit(pictures, CLOSEST) + torch.logit(change)) * factor)
        return batch.with_inputs(torch.where((change == 0.5) & (factor == 1), pictures, lit))
