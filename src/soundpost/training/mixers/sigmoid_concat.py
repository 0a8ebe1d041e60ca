"""One clip after the other, with a soft passage between them."""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Generator, Tensor

from soundpost.training import draws
from soundpost.training.batch import Batch
from soundpost.training.mixers.mixer import united


@dataclass(frozen=True)
class SigmoidConcatSettings:
    """How soft the passage is."""

    radius: tuple[int, int] = (3, 12)  # fewest and most; the mask runs from sigmoid(-radius) to sigmoid(radius)


class SigmoidConcat:
    """The partner comes first in time; the result has the labels of both.

    Source: systems specification of argus ("SigmoidConcatMixer").
    """

    Settings: ClassVar[type] = SigmoidConcatSettings

    def __init__(self, settings: SigmoidConcatSettings) -> None:
        self.settings = settings

    def draw(self, own: Batch, partner: Batch, generator: Generator) -> Tensor:
        """(batch,) int64: radius of each clip."""
        return draws.integers(len(own), *self.settings.radius, generator)

    def apply(self, own: Batch, partner: Batch, drawn: Tensor) -> Batch:
        """Pictures of equal lengths."""
        mask = sigmoid_mask(drawn.to(own.inputs.device), own.inputs.shape[-1]).to(own.inputs.dtype)[:, None, None]
        inputs = mask * own.inputs + (1 - mask) * partner.inputs
        return replace(own, inputs=inputs, targets=united(own, partner))


def sigmoid_mask(radius: Tensor, frames: int) -> Tensor:
    """How much of the clip itself each frame holds, (batch, frames) float32, for radii (batch,)."""
    place = torch.arange(frames, device=radius.device, dtype=torch.float32) / frames
    return torch.sigmoid(radius[:, None] * (2 * place - 1))
