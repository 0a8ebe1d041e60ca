"""Mixup with one share for the whole batch, which may be smaller than the partner's."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Generator, Tensor

from soundpost.training import draws
from soundpost.training.batch import Batch
from soundpost.training.mixers.mixer import weighed


@dataclass(frozen=True)
class MixupBatchSettings:
    """How unequal the shares are."""

    alpha: float = 0.4  # both parameters of the Beta distribution


class MixupBatch:
    """A weighted mean of two clips and of their targets; as cross-entropy is linear in targets, of their losses too.

    Source: systems specification of ERC2019, Zhang et al. 2017.
    """

    Settings: ClassVar[type] = MixupBatchSettings

    def __init__(self, settings: MixupBatchSettings) -> None:
        self.settings = settings

    def draw(self, own: Batch, partner: Batch, generator: Generator) -> Tensor:
        """(batch,) float64: the same share for every clip."""
        return draws.beta(1, self.settings.alpha, generator).expand(len(own))

    def apply(self, own: Batch, partner: Batch, drawn: Tensor) -> Batch:
        """Each clip with that share."""
        return weighed(own, partner, drawn)
