"""The shorter of two waveforms laid over, or into, the longer one; the labels of both."""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Generator, Tensor

from soundpost.training import draws
from soundpost.training.batch import Batch
from soundpost.training.mixers.mixer import together, united


@dataclass(frozen=True)
class OrRuleSettings:
    """How loud, and whether as written or as meant."""

    share: tuple[float, float] = (0.4, 0.6)  # least and most weight of the longer clip
    adds: bool = False  # False: the shorter clip replaces a stretch, as the published program ran; True: is added


@dataclass(frozen=True)
class OrRuleDraw:
    """How each clip is mixed."""

    share: Tensor  # (batch,) of the longer clip
    start: Tensor  # (batch,) int64: where in the longer clip the shorter one begins


class OrRule:
    """Waveforms of different lengths; two of the same length are averaged.

    Source: systems specification of ex4sperans.
    """

    Settings: ClassVar[type] = OrRuleSettings

    def __init__(self, settings: OrRuleSettings) -> None:
        self.settings = settings

    def draw(self, own: Batch, partner: Batch, generator: Generator) -> OrRuleDraw:
        """Share and place for each clip."""
        share = draws.uniform(len(own), *self.settings.share, generator)
        # The last start, with which both would end together, is never drawn.
        return OrRuleDraw(share, draws.below((own.lengths - partner.lengths).abs(), generator))

    def apply(self, own: Batch, partner: Batch, drawn: OrRuleDraw) -> Batch:
        """As long as the longer one."""
        first, second, lengths = together(own, partner)
        is_longer = own.per_clip((own.lengths >= partner.lengths).double()) > 0
        longer, shorter = torch.where(is_longer, first, second), torch.where(is_longer, second, first)
        place = torch.arange(first.shape[-1])
        least = torch.minimum(own.lengths, partner.lengths)[:, None]
        shown = place - drawn.start[:, None]
        inside = ((shown >= 0) & (shown < least)).to(first.device)
        laid = shorter.gather(1, shown.clamp(0, first.shape[-1] - 1).to(first.device))
        share = own.per_clip(drawn.share)
        over = (1 - share) * laid + share * longer if self.settings.adds else (1 - share) * laid
        mixed = torch.where(inside, over, share * longer)
        is_equal = own.per_clip((own.lengths == partner.lengths).double()) > 0
        mixed = torch.where(is_equal, (first + second) / 2, mixed)
        return replace(own, inputs=mixed, lengths=lengths, targets=united(own, partner))
