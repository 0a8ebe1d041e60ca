"""Two clips added, the partner with up to half of the weight."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Generator, Tensor

from soundpost.training import draws
from soundpost.training.batch import Batch
from soundpost.training.mixers.mixer import weighed


@dataclass(frozen=True)
class AddSettings:
    """How much of the partner."""

    share: tuple[float, float] = (0.0, 0.5)  # least and most


class Add:
    """A weighted mean of inputs and of targets.

    Source: systems specification of argus ("AddMixer").
    """

    Settings: ClassVar[type] = AddSettings

    def __init__(self, settings: AddSettings) -> None:
        self.settings = settings

    def draw(self, own: Batch, partner: Batch, generator: Generator) -> Tensor:
        """(batch,) float64: the partner's share."""
        return draws.uniform(len(own), *self.settings.share, generator)

    def apply(self, own: Batch, partner: Batch, drawn: Tensor) -> Batch:
        """Each clip with its partner."""
        return weighed(own, partner, 1 - drawn)
