"""A stretch of each clip, more often where the clip is loud."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from soundpost.training.augmentations.crop import Crop, CropSettings
from soundpost.training.batch import Batch
from soundpost.views.adaptive_crops import start_odds, strengths


@dataclass(frozen=True)
class AdaptiveCropSettings:
    """How long, and what loud means."""

    frames: int = 128  # frames; 2 s; shorter clips stay as they are
    bins: int = 84  # lowest bins whose sum is a window's strength
    stored_planes: int = 3  # equal planes that the published pictures held, all of which were summed


class AdaptiveCrop:
    """Pictures of whole numbers cut where their sums say.

    Source: systems specification of the seventh place; its loop of drawing and throwing away has these odds.
    """

    Settings: ClassVar[type] = AdaptiveCropSettings

    def __init__(self, settings: AdaptiveCropSettings) -> None:
        self.settings = settings
        self._crop = Crop(CropSettings(frames=settings.frames))

    def draw(self, batch: Batch, generator: Generator) -> Tensor:
        """(batch,) int64: the first frame of each clip that is kept."""
        chosen = self.settings
        starts = torch.zeros(len(batch), dtype=torch.int64)
        for clip, length in enumerate(batch.lengths.tolist()):
            if length > chosen.frames:
                picture = batch.inputs[clip, 0, :, :length]
                strength = strengths(picture, chosen.bins, chosen.frames).cpu() * chosen.stored_planes
                starts[clip] = torch.multinomial(start_odds(strength), 1, generator=generator)[0]
        return starts

    def apply(self, batch: Batch, drawn: Tensor) -> Batch:
        """Clips of at most that many frames."""
        return self._crop.apply(batch, drawn)


def start_of_draw(drawn: int, sums: Tensor) -> int | None:
    """The start that one number of the published loop names, None where the loop throws it away.

    Args:
        drawn: from 0 up to the product of the number of starts and the range of the sums, both ends included.
        sums: (starts,) of each window.
    """
    least = sums.min()
    height = int((sums - least).max())
    start, bar = divmod(drawn, height)
    if start >= len(sums) or sums[start] - least < bar:
        return None
    return start
