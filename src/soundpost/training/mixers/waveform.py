"""Waveforms of a batch mixed at one fixed ratio, in some of the batches."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from soundpost.training.batch import Batch
from soundpost.training.mixers.mixer import weighed


@dataclass(frozen=True)
class WaveformSettings:
    """How much."""

    share: float = 0.7  # what the clip itself keeps


class Waveform:
    """A weighted mean of waveforms and of smoothed targets; statistics of a clip and its length stay its own.

    Source: systems specification of qrfaction.
    """

    Settings: ClassVar[type] = WaveformSettings

    def __init__(self, settings: WaveformSettings) -> None:
        self.settings = settings

    def draw(self, own: Batch, partner: Batch, generator: Generator) -> Tensor:
        """(batch,) float64: nothing is left to chance."""
        return torch.full((len(own),), self.settings.share, dtype=torch.float64)

    def apply(self, own: Batch, partner: Batch, drawn: Tensor) -> Batch:
        """Each clip with its partner."""
        return weighed(own, partner, drawn)
