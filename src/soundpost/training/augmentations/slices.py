"""Clips cut into slices that come in another order."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Generator, Tensor

from soundpost.training import draws
from soundpost.training.batch import Batch, gathered


@dataclass(frozen=True)
class SlicesSettings:
    """How often and how long."""

    probability: float = 0.5
    samples: int = 22050  # the fewest of a slice: 0.5 s at 44.1 kHz


class Slices:
    """As many nearly equal slices as fit, permuted; a clip of fewer than two stays as it is.

    Source: systems specification of ex4sperans.
    """

    Settings: ClassVar[type] = SlicesSettings

    def __init__(self, settings: SlicesSettings) -> None:
        self.settings = settings

    def draw(self, batch: Batch, generator: Generator) -> list[Tensor]:
        """For each clip the order of its slices, (slices,) int64; empty: as it is."""
        happens = draws.chance(len(batch), self.settings.probability, generator)
        counts = batch.lengths // self.settings.samples
        return [
            torch.randperm(int(count), generator=generator) if happens[clip] and count >= 2 else torch.arange(0)
            for clip, count in enumerate(counts)
        ]

    def apply(self, batch: Batch, drawn: list[Tensor]) -> Batch:
        """Clips of the same lengths."""
        place = torch.arange(batch.inputs.shape[-1])
        columns = place.where(place < batch.lengths[:, None], -1)
        for clip, order in enumerate(drawn):
            length = int(batch.lengths[clip])
            if len(order):
                slices = np.array_split(np.arange(length), len(order))
                columns[clip, :length] = torch.from_numpy(np.concatenate([slices[number] for number in order.tolist()]))
        return gathered(batch, columns, batch.lengths)
