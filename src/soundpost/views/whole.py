"""The whole clip as one window; very long clips as a few equal ones, so that memory stays bounded."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from soundpost.views.crop import equal_stretches
from soundpost.views.view import SHORTEST_PART, Window


@dataclass(frozen=True)
class WholeSettings:
    """How long a window may be, and how short."""

    max_frames: int = 3000  # frames; longer clips are shown as equal windows of at most this many
    min_frames: int = 1  # frames; shorter clips are looped up to this many


class Whole:
    """Every frame of the clip exactly once; the answers of a very long clip's windows are averaged by length."""

    Settings: ClassVar[type] = WholeSettings

    def __init__(self, settings: WholeSettings) -> None:
        self.settings = settings
        self.shortest_part = max(SHORTEST_PART, settings.min_frames)
        self.is_unprepared = True

    def windows(self, frames: int) -> tuple[Window, ...]:
        """One window, or ceil(frames / max_frames) windows whose lengths differ by at most one frame."""
        return tuple(
            Window(start, max(end - start, self.settings.min_frames), weight=float(end - start))
            for start, end in equal_stretches(frames, self.settings.max_frames)
        )

    def cut(self, spectrogram: Tensor, window: Window) -> Tensor:
        """Frames start ... start + frames; a clip shorter than min_frames is repeated from its beginning."""
        piece = spectrogram[..., window.start : window.start + window.frames]
        copies = -(-window.frames // piece.shape[-1])
        return piece if copies == 1 else piece.repeat(1, 1, copies)[..., : window.frames]

    def prepare(self, batch: Tensor) -> Tensor:
        """The windows as they are."""
        return batch
