"""A stretch of each clip that is long enough."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from soundpost.training import draws
from soundpost.training.batch import Batch, gathered


@dataclass(frozen=True)
class CropSettings:
    """How long, and where."""

    frames: int = 256  # frames (or samples of a waveform); shorter clips stay as they are
    last_start: bool = True  # whether the stretch that ends with the clip can be drawn; some published loops missed it
    centre: bool = False  # always the middle, as validation shows it


class Crop:
    """Uniformly anywhere within the clip.

    Source: systems specifications of argus (spectrograms) and ex4sperans (waveforms, last start never drawn).
    """

    Settings: ClassVar[type] = CropSettings

    def __init__(self, settings: CropSettings) -> None:
        self.settings = settings

    def draw(self, batch: Batch, generator: Generator) -> Tensor:
        """(batch,) int64: the first frame of each clip that is kept."""
        room = (batch.lengths - self.settings.frames).clamp(min=0)
        if self.settings.centre:
            return room // 2
        return draws.below(room + self.settings.last_start, generator)

    def apply(self, batch: Batch, drawn: Tensor) -> Batch:
        """Clips of at most that many frames."""
        lengths = batch.lengths.clamp(max=self.settings.frames)
        place = torch.arange(int(lengths.max()))
        columns = torch.where(place < lengths[:, None], place + drawn[:, None], -1)
        return gathered(batch, columns, lengths)
