"""The segments that a front end laid side by side, each shown with the columns that belong to the whole clip."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from soundpost.errors import ShapeError
from soundpost.views.view import Window


@dataclass(frozen=True)
class SegmentsSettings:
    """Where the segments end and the common columns begin."""

    frames: int = 431  # frames of a segment; 5 s at a hop of 512 samples
    side_columns: int = 25  # last columns of the array, shown with every segment


class Segments:
    """Each segment once, equally weighted."""

    Settings: ClassVar[type] = SegmentsSettings

    def __init__(self, settings: SegmentsSettings) -> None:
        self.settings = settings

    def windows(self, frames: int) -> tuple[Window, ...]:
        """One window for each segment; frames must be a multiple of the segment's, plus the common columns.

        Raises:
            ShapeError: the array was laid out by another front end, or with other settings.
        """
        length, side = self.settings.frames, self.settings.side_columns
        if frames <= side or (frames - side) % length:
            raise ShapeError(
                f"{frames} columns are no number of {length} frames and {side} more. Give the view the frames and "
                "side_columns of its front end."
            )
        return tuple(Window(start, length + side) for start in range(0, frames - side, length))

    def cut(self, spectrogram: Tensor, window: Window) -> Tensor:
        """(channels, bins, columns) -> one segment and the common columns behind it."""
        side = self.settings.side_columns
        segment = spectrogram[..., window.start : window.start + window.frames - side]
        return torch.cat([segment, spectrogram[..., -side:]], -1)

    def prepare(self, batch: Tensor) -> Tensor:
        """The segments as they are."""
        return batch
