"""A band of bins and a stretch of frames taken from another clip."""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Generator, Tensor

from soundpost.training import draws
from soundpost.training.batch import Batch


@dataclass(frozen=True)
class SpecMixSettings:
    """How much."""

    most: float = 0.25  # the largest share of each axis


@dataclass(frozen=True)
class SpecMixDraw:
    """What each clip takes."""

    shares: Tensor  # (batch, 2) drawn shares of bins and of frames
    spans: Tensor  # (batch, 2, 2) of band and stretch the first and the last-but-one


class SpecMix:
    """Targets are weighed by the drawn shares, not by the cells that they come to.

    Source: Bouteillon's, as the systems specification of ERC2019 describes it.
    """

    Settings: ClassVar[type] = SpecMixSettings

    def __init__(self, settings: SpecMixSettings) -> None:
        self.settings = settings

    def draw(self, own: Batch, partner: Batch, generator: Generator) -> SpecMixDraw:
        """One band and one stretch for each clip."""
        shares, spans = [], []
        for size in own.inputs.shape[-2:]:
            share = draws.uniform(len(own), 0, self.settings.most, generator)
            width = (share * size).long()
            first = (draws.uniform(len(own), 0, 1, generator) * (size - width)).long()
            shares.append(share)
            spans.append(torch.stack([first, first + width], 1))
        return SpecMixDraw(torch.stack(shares, 1), torch.stack(spans, 1))

    def apply(self, own: Batch, partner: Batch, drawn: SpecMixDraw) -> Batch:
        """Pictures of equal sizes."""
        device, inside = own.inputs.device, []
        for axis, size in enumerate(own.inputs.shape[-2:]):
            place, span = torch.arange(size, device=device), drawn.spans[:, axis].to(device)
            inside.append((place >= span[:, :1]) & (place < span[:, 1:]))
        taken = inside[0][:, None, :, None] | inside[1][:, None, None]
        share = (drawn.shares.sum(1) - drawn.shares.prod(1)).to(own.targets)[:, None]
        targets = (1 - share) * own.targets + share * partner.targets
        return replace(own, inputs=torch.where(taken, partner.inputs, own.inputs), targets=targets)
