"""Crops that lie more often where a clip is loud, as Freesound 2019's seventh place cut them.

Source: systems specification of that place's kernel. Its rejection loop draws the start j with probability
proportional to min(h, s(j) - min s + 1), s(j) being the window's sum over the lower bands and h the range of s; the
last start of several gets 1. Here crop i of n starts at the quantile (i + 1/2) / n of that distribution.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from soundpost.views.crop import crop
from soundpost.views.view import Window


@dataclass(frozen=True)
class AdaptiveCropsSettings:
    """How many crops, and what strength is."""

    frames: int = 128  # frames of a crop; 2 s
    count: int = 20  # crops
    parts: int = 1  # view sets among which the crops are dealt, so that a part of them can be shown first
    part: int = 0  # which of these sets this is
    bins: int = 84  # lowest bins whose sum is a window's strength
    stored_planes: int = 3  # equal planes that the published pictures held, all of which were summed
    divisor: float = 65025.0  # pixels are divided by 255 twice, as published


class AdaptiveCrops:
    """Equally weighted crops of a picture of whole numbers from 0 up; shorter clips lie in the middle of the crop."""

    Settings: ClassVar[type] = AdaptiveCropsSettings

    def __init__(self, settings: AdaptiveCropsSettings) -> None:
        self.settings = settings

    def windows(self, frames: int) -> tuple[Window, ...]:
        """The windows of this part, all at the middle until cut sees where the clip is loud."""
        chosen = self.settings
        first = (frames - chosen.frames) // 2
        return tuple(Window(first, chosen.frames, variant=i) for i in range(chosen.part, chosen.count, chosen.parts))

    def cut(self, spectrogram: Tensor, window: Window) -> Tensor:
        """(channels, bins, frames) -> the crop number window.variant, (channels, bins, window.frames)."""
        if spectrogram.shape[-1] <= window.frames:
            return crop(spectrogram, window.start, window.frames)
        strength = strengths(spectrogram[0], self.settings.bins, window.frames)
        odds = start_odds(strength * self.settings.stored_planes).cumsum(0)
        quantile = (window.variant + 0.5) / self.settings.count * odds[-1]
        return crop(spectrogram, int(torch.searchsorted(odds, quantile)), window.frames)

    def prepare(self, batch: Tensor) -> Tensor:
        """(batch, channels, bins, frames) divided by divisor."""
        return batch / self.settings.divisor


def strengths(picture: Tensor, bins: int, frames: int) -> Tensor:
    """Sum over the lowest bins of every window: (bins, frames) -> (starts,) float64, frames - window + 1 starts."""
    sums = F.pad(picture[:bins].double().sum(0).cumsum(0), (1, 0))
    return sums[frames:] - sums[:-frames]


def start_odds(strength: Tensor) -> Tensor:
    """How likely each start is, not normalised: (starts,) float64; where nothing sounds, the first start is certain."""
    odds = torch.zeros_like(strength)
    if strength.max() == 0:
        odds[0] = 1
        return odds
    above = strength - strength.min()
    height = above.max() if above.max() > 0 else strength.max()
    odds = torch.minimum(height, above + 1)
    if len(odds) > 1:
        odds[-1] = 1  # As published: one case of all that are drawn from falls on the last start.
    return odds
