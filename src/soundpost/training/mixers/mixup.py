"""Mixup with one share for each clip, of which the larger part always stays with the clip itself."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Generator, Tensor

from soundpost.training import draws
from soundpost.training.batch import Batch
from soundpost.training.mixers.mixer import weighed


@dataclass(frozen=True)
class MixupSettings:
    """How unequal the shares are."""

    alpha: float = 0.4  # both parameters of the Beta distribution


class Mixup:
    """A weighted mean of two clips and of their targets.

    Source: Zhang et al. 2017; the fastai v1 form, used by simongrest and filipmu.
    """

    Settings: ClassVar[type] = MixupSettings

    def __init__(self, settings: MixupSettings) -> None:
        self.settings = settings

    def draw(self, own: Batch, partner: Batch, generator: Generator) -> Tensor:
        """(batch,) float64: share of each clip, before the larger part is taken."""
        return draws.beta(len(own), self.settings.alpha, generator)

    def apply(self, own: Batch, partner: Batch, drawn: Tensor) -> Batch:
        """Each clip with its larger share."""
        return weighed(own, partner, drawn.maximum(1 - drawn))
