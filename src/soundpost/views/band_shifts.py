"""The whole clip with its mel bands moved up or down by a few: the same sound a little higher or lower."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from soundpost.views.crop import equal_stretches
from soundpost.views.view import SHORTEST_PART, Window


@dataclass(frozen=True)
class BandShiftsSettings:
    """How far the bands move, and how long a window may be."""

    shifts: tuple[int, ...] = (-1, 1)  # bands; positive is up
    max_frames: int = 3000  # frames; longer clips are shown as equal windows of at most this many


class BandShifts:
    """Every frame of the clip once for each shift; the band at the edge fills what the others leave."""

    Settings: ClassVar[type] = BandShiftsSettings

    def __init__(self, settings: BandShiftsSettings) -> None:
        self.settings = settings
        self.shortest_part = SHORTEST_PART

    def windows(self, frames: int) -> tuple[Window, ...]:
        """For each shift, as many windows as the clip needs; variant says which shift."""
        return tuple(
            Window(start, end - start, weight=float(end - start), variant=variant)
            for variant in range(len(self.settings.shifts))
            for start, end in equal_stretches(frames, self.settings.max_frames)
        )

    def cut(self, spectrogram: Tensor, window: Window) -> Tensor:
        """Frames start ... start + frames of (channels, bins, frames), band b taken from band b - shift."""
        piece = spectrogram[..., window.start : window.start + window.frames]
        bins = piece.shape[-2]
        source = torch.arange(bins, device=piece.device) - self.settings.shifts[window.variant]
        return piece[:, source.clamp(0, bins - 1)]

    def prepare(self, batch: Tensor) -> Tensor:
        """The windows as they are."""
        return batch
