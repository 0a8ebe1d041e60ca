"""Crops with one band of bins and one of frames masked and every other one reversed, as ERC2019 predicted.

The published code drew crop, masks and reversal anew at each pass; here pass i always shows the same, and the passes
spread evenly over what could be drawn.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from soundpost.views.crop import crop, spread
from soundpost.views.view import Window

LAST_START = 0.9  # a mask starts in the first 90 % of its axis, so the last bin and the last frame are never masked


@dataclass(frozen=True)
class MaskedCropsSettings:
    """How many passes, and what each does to the picture."""

    frames: int = 128  # frames of a crop; 2 s
    count: int = 12  # passes
    parts: int = 1  # view sets among which the passes are dealt, so that a part of them can be shown first
    part: int = 0  # which of these sets this is
    mask_fraction: float = 0.1  # this part of each axis is set to 0; 0 masks nothing
    reversals: bool = True  # every other pass runs backwards
    divisor: float = 65025.0  # pixels are divided by 255 twice, as published


class MaskedCrops:
    """Equally weighted crops of a picture whose smallest value is 0; clips shorter than a crop lie in its middle."""

    Settings: ClassVar[type] = MaskedCropsSettings

    def __init__(self, settings: MaskedCropsSettings) -> None:
        self.settings = settings

    def windows(self, frames: int) -> tuple[Window, ...]:
        """The windows of this part; the very last start is left out if there is another, as published."""
        chosen, room = self.settings, frames - self.settings.frames
        passes = range(chosen.part, chosen.count, chosen.parts)
        if room <= 0:
            return tuple(Window(-(-room // 2), chosen.frames, variant=i) for i in passes)
        return tuple(Window(int(spread(i, 0) * room), chosen.frames, variant=i) for i in passes)

    def cut(self, spectrogram: Tensor, window: Window) -> Tensor:
        """(channels, bins, frames) -> the crop (channels, bins, window.frames), masked, reversed if variant is odd."""
        piece = crop(spectrogram, window.start, window.frames)
        if self.settings.mask_fraction:
            bin_start = int(spread(window.variant, 1) * LAST_START * piece.shape[-2])
            frame_start = int(spread(window.variant, 2) * LAST_START * piece.shape[-1])
            piece = masked(piece, bin_start, frame_start, self.settings.mask_fraction)
        return piece.flip(-1) if self.settings.reversals and window.variant % 2 else piece

    def prepare(self, batch: Tensor) -> Tensor:
        """(batch, channels, bins, frames) divided by divisor."""
        return batch / self.settings.divisor


def masked(picture: Tensor, bin_start: int, frame_start: int, fraction: float) -> Tensor:
    """A copy in which one band of bins and one band of frames are 0.

    Args:
        picture: (channels, bins, frames).
        bin_start: first masked bin.
        frame_start: first masked frame.
        fraction: the part of each axis, cut to whole bins and frames: 12 of 128 for 0.1.
    """
    picture = picture.clone()
    bins, frames = (int(fraction * size) for size in picture.shape[-2:])
    picture[..., bin_start : bin_start + bins, :] = 0
    picture[..., frame_start : frame_start + frames] = 0
    return picture
