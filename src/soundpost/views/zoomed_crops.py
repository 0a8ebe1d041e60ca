"""A plain crop and eight zoomed ones, as fastai v1 predicts a picture, with the scale and the weights of a system.

The published code cut each crop anew at random; here the nine crops spread evenly over the clip.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from soundpost.views.crop import crop, starts
from soundpost.views.scaling import scaled
from soundpost.views.view import Window
from soundpost.views.warp import plain_grid, read, zoomed

ZOOMS = 8


@dataclass(frozen=True)
class ZoomedCropsSettings:
    """Size of the crops, strength of the zoom, and how values are scaled; the defaults are simongrest's."""

    frames: int = 256  # frames of a crop; 4.0 s
    scale: float = 1.1  # how far a zoom goes; 1.35 in fastai
    reverse_last_four: bool = False  # the last four zooms run backwards, as in fastai
    beta: float = 0.4  # weight of the plain crop; the zooms share the rest; 1 leaves the zooms out
    divisor: float = 1.0  # the spectrogram's values are divided by it; 255 for pictures
    mean: tuple[float, ...] = (0.0,)  # after division, one number or one for each channel
    std: tuple[float, ...] = (1.0,)
    channels: int = 1  # a one-channel picture is shown that many times


class ZoomedCrops:
    """Crops between zeros where the clip is shorter; number 0 is plain, 1 ... 8 look into the four corners twice."""

    Settings: ClassVar[type] = ZoomedCropsSettings

    def __init__(self, settings: ZoomedCropsSettings) -> None:
        self.settings = settings

    def windows(self, frames: int) -> tuple[Window, ...]:
        """The plain crop, if beta gives it any weight, and the zoomed ones, if it leaves them any."""
        beta, width = self.settings.beta, self.settings.frames
        weights = [beta] + [(1 - beta) / ZOOMS] * ZOOMS
        shown = [(variant, weight) for variant, weight in enumerate(weights) if weight > 0]
        places = starts(frames, width, len(shown))
        return tuple(
            Window(start, width, weight, variant) for start, (variant, weight) in zip(places, shown, strict=True)
        )

    def cut(self, spectrogram: Tensor, window: Window) -> Tensor:
        """(channels, bins, frames) -> the crop (channels, bins, window.frames), zoomed as its variant says."""
        piece = self.plain(spectrogram, window)
        if window.variant == 0:
            return piece
        return zoom(piece, window.variant - 1, self.settings.scale, self.settings.reverse_last_four)

    def plain(self, spectrogram: Tensor, window: Window) -> Tensor:
        """(channels, bins, frames) -> the crop (channels, bins, window.frames) before any zoom."""
        return crop(spectrogram, window.start, window.frames)

    def finish(self, batch: Tensor, windows: Sequence[Window]) -> Tensor:
        """(batch, channels, bins, frames) of crops, zoomed as the windows' variants say, all in one reading."""
        chosen, pictures = self.settings, batch.float()
        grids = [
            _grid(max(0, w.variant - 1), *batch.shape[-2:], chosen.scale, chosen.reverse_last_four, batch.device)
            for w in windows
        ]
        views = F.grid_sample(pictures, torch.stack(grids), "bilinear", "reflection", align_corners=True)
        return torch.stack([(views if w.variant else pictures)[i] for i, w in enumerate(windows)])

    def prepare(self, batch: Tensor) -> Tensor:
        """(batch, channels, bins, frames), scaled and given the channels that the network takes."""
        chosen = self.settings
        return scaled(batch, chosen.divisor, chosen.mean, chosen.std, chosen.channels)


def zoom(picture: Tensor, number: int, scale: float, reverse_last_four: bool) -> Tensor:
    """One of the eight zooms of a picture (channels, bins, frames), same axes out.

    Args:
        picture: bin 0 is its top.
        number: 0 ... 7; odd ones look at the last bins, 2, 3, 6 and 7 at the last frames.
        scale: how far the zoom goes; 1 changes nothing.
        reverse_last_four: numbers 4 ... 7 run backwards.
    """
    return read(picture, _grid(number, *picture.shape[-2:], scale, reverse_last_four, picture.device))


@lru_cache(maxsize=64)
def _grid(number: int, bins: int, frames: int, scale: float, reverse_last_four: bool, device: torch.device) -> Tensor:
    """(bins, frames, 2), where a zoom reads; kept, because a GPU waits for what it is sent."""
    row, column = number & 1, number >> 1 & 1
    with torch.inference_mode(False):  # so that training may use it as well
        grid = zoomed(plain_grid(bins, frames), scale, row, column).to(device)
        return grid.flip(1) if reverse_last_four and number >= ZOOMS // 2 else grid
