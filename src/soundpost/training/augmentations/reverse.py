"""Some clips run backwards."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from soundpost.training import draws
from soundpost.training.batch import Batch, gathered


@dataclass(frozen=True)
class ReverseSettings:
    """How often."""

    probability: float = 0.5


class Reverse:
    """Each clip from its end to its beginning, or as it is.

    Sources: systems specification of ERC2019, and of the seventh place, which calls it a horizontal flip.
    """

    Settings: ClassVar[type] = ReverseSettings

    def __init__(self, settings: ReverseSettings) -> None:
        self.settings = settings

    def draw(self, batch: Batch, generator: Generator) -> Tensor:
        """(batch,) bool: which clips."""
        return draws.chance(len(batch), self.settings.probability, generator)

    def apply(self, batch: Batch, drawn: Tensor) -> Batch:
        """Clips of the same lengths."""
        place = torch.arange(batch.inputs.shape[-1])
        columns = torch.where(drawn[:, None], batch.lengths[:, None] - 1 - place, place)
        return gathered(batch, columns.where(place < batch.lengths[:, None], -1), batch.lengths)
