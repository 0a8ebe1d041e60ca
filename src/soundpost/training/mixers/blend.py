"""Pictures of whole numbers blended, and cut to whole numbers again."""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Generator, Tensor

from soundpost.training import draws
from soundpost.training.batch import Batch


@dataclass(frozen=True)
class BlendSettings:
    """How unequal the shares are."""

    alpha: float = 1.0  # both parameters of the Beta distribution


class Blend:
    """One share for the whole batch; values that are no whole number are cut, not rounded.

    Source: systems specification of the seventh place; its helper made 1,000 pairs at one share.
    """

    Settings: ClassVar[type] = BlendSettings

    def __init__(self, settings: BlendSettings) -> None:
        self.settings = settings

    def draw(self, own: Batch, partner: Batch, generator: Generator) -> Tensor:
        """(batch,) float64: the partner's share, the same for every clip."""
        return draws.beta(1, self.settings.alpha, generator).expand(len(own))

    def apply(self, own: Batch, partner: Batch, drawn: Tensor) -> Batch:
        """Pictures of equal sizes."""
        first, second = own.inputs.double(), partner.inputs.double()
        share = drawn.to(first.device, torch.float64).reshape(-1, *[1] * (first.dim() - 1))
        inputs = (first + share * (second - first)).trunc().to(own.inputs.dtype)
        targets = drawn.to(own.targets)[:, None]
        return replace(own, inputs=inputs, targets=(1 - targets) * own.targets + targets * partner.targets)
