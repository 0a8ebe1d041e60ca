"""A box of each picture taken from another clip."""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Generator

from soundpost.training import draws
from soundpost.training.batch import Batch


@dataclass(frozen=True)
class CutMixSettings:
    """How large."""

    alpha: float = 0.4  # both parameters of the Beta distribution


@dataclass(frozen=True)
class CutMixDraw:
    """The box, the same for every clip of a batch."""

    share: float  # what the clip itself keeps, before the box is cut at the borders
    centre: tuple[int, int]  # bin and frame


class CutMix:
    """Targets are weighed by the cells that were really taken.

    Source: Yun et al. 2019 as the systems specification of ERC2019 has it, where it was off.
    """

    Settings: ClassVar[type] = CutMixSettings

    def __init__(self, settings: CutMixSettings) -> None:
        self.settings = settings

    def draw(self, own: Batch, partner: Batch, generator: Generator) -> CutMixDraw:
        """One box for the batch."""
        share = float(draws.beta(1, self.settings.alpha, generator))
        bins, frames = (int(torch.randint(size, (), generator=generator)) for size in own.inputs.shape[-2:])
        return CutMixDraw(share, (bins, frames))

    def apply(self, own: Batch, partner: Batch, drawn: CutMixDraw) -> Batch:
        """Pictures of equal sizes."""
        size = own.inputs.shape[-2:]
        (top, bottom), (left, right) = box_of(drawn, size)
        inputs = own.inputs.clone()
        inputs[..., top:bottom, left:right] = partner.inputs[..., top:bottom, left:right]
        share = 1 - (bottom - top) * (right - left) / (size[0] * size[1])
        return replace(own, inputs=inputs, targets=share * own.targets + (1 - share) * partner.targets)


def box_of(drawn: CutMixDraw, size: tuple[int, ...] | torch.Size) -> list[tuple[int, int]]:
    """First and last-but-one bin, first and last-but-one frame of the box."""
    box = []
    for centre, cells in zip(drawn.centre, size, strict=True):
        half = int(cells * (1 - drawn.share) ** 0.5) // 2
        box.append((max(0, centre - half), min(cells, centre + half)))
    return box
