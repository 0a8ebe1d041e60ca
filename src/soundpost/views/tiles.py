"""Windows of one fixed length that cover the clip evenly, as the first place of Freesound 2019 cut them."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from soundpost.functional.deltas import WIDTH, with_derivatives
from soundpost.views.view import Window


@dataclass(frozen=True)
class TilesSettings:
    """How long a tile is, how far the next one lies, and what the network sees of it."""

    frames: int = 256  # frames of a tile; 4.0 s at 63.9 frames per second
    step: int = 128  # frames from one tile to the next
    derivatives: bool = True  # show the first two time derivatives of the tile as second and third channel
    divisor: float = 100.0  # all channels are divided by this; decibels come out near [-1, 1]


class Tiles:
    """Equally weighted tiles; what a tile shows beyond the clip is the smallest value of that clip."""

    Settings: ClassVar[type] = TilesSettings

    def __init__(self, settings: TilesSettings) -> None:
        self.settings = settings
        self.prepare_reach = WIDTH // 2 if settings.derivatives else 0
        self.edge, self.shared_step = 0, settings.step

    def windows(self, frames: int) -> tuple[Window, ...]:
        """max(1, ceil((frames - tile + step) / step)) tiles; half of what is missing lies before the clip."""
        tile, step = self.settings.frames, self.settings.step
        count = max(1, -(-(frames - tile + step) // step))
        missing = step * (count - 1) + tile - frames
        return tuple(Window(step * i - missing // 2, tile) for i in range(count))

    def cut(self, spectrogram: Tensor, window: Window) -> Tensor:
        """Frames start ... start + frames of (channels, bins, frames), padded with the minimum of the whole clip."""
        length = spectrogram.shape[-1]
        start, stop = max(0, window.start), min(length, window.start + window.frames)
        piece = spectrogram[..., start:stop]
        if piece.shape[-1] == window.frames:
            return piece
        before = start - window.start
        padding = (before, window.frames - before - piece.shape[-1])
        return F.pad(piece, padding, value=float(spectrogram.min()))

    def prepare(self, batch: Tensor) -> Tensor:
        """(batch, 1, bins, frames) -> the tile and its derivatives, (batch, 3, bins, frames), divided by divisor."""
        channels = with_derivatives(batch) if self.settings.derivatives else batch
        return channels / self.settings.divisor
