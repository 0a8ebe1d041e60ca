"""A stretch of each long clip, and each short clip somewhere among zeros."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from soundpost.training import draws
from soundpost.training.batch import Batch, gathered


@dataclass(frozen=True)
class PlaceSettings:
    """How long."""

    frames: int = 220500  # frames (or samples of a waveform; 5 s at 44.1 kHz)
    last_start: bool = False  # whether the last start can be drawn


class Place:
    """Clips of one length: cut where they are longer, between zeros where they are shorter, both anywhere.

    Source: systems specifications of qrfaction (waveforms) and simongrest (spectrograms).
    """

    Settings: ClassVar[type] = PlaceSettings

    def __init__(self, settings: PlaceSettings) -> None:
        self.settings = settings

    def draw(self, batch: Batch, generator: Generator) -> Tensor:
        """(batch,) int64: the first frame that is kept of a longer clip, the zeros in front of a shorter one."""
        room = (batch.lengths - self.settings.frames).abs()
        return draws.below(room + self.settings.last_start, generator)

    def apply(self, batch: Batch, drawn: Tensor) -> Batch:
        """Clips of that many frames."""
        frames = self.settings.frames
        first = torch.where(batch.lengths > frames, drawn, -drawn)
        columns = torch.arange(frames) + first[:, None]
        columns = torch.where((columns < 0) | (columns >= batch.lengths[:, None]), -1, columns)
        return gathered(batch, columns, torch.full_like(batch.lengths, frames))
