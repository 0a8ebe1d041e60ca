"""Crops of a picture under different lighting, as filipmu predicted: his training pipeline, run a few times.

The published code drew crop and lighting anew each time; here pass i always shows the same, and the passes spread
evenly over what could be drawn. His answer was the mean of the logits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from soundpost.functional.constants import constant
from soundpost.views.crop import crop, spread, starts
from soundpost.views.view import Window

CLOSEST = 1e-7  # to black and to white that a pixel comes before its logit is taken


@dataclass(frozen=True)
class LitCropsSettings:
    """How many passes, and what can happen to the lighting in each."""

    frames: int = 224  # frames of a crop; 3.8 s
    count: int = 5  # passes
    probability: float = 0.75  # how often brightness changes, and how often contrast does
    brightness: tuple[float, float] = (0.4, 0.6)  # range of the change; 0.5 is none
    contrast: tuple[float, float] = (0.8, 1.25)  # range of the factor, evenly on a log scale
    channels: int = 3  # a grey picture is shown that many times


class LitCrops:
    """Equally weighted crops of a picture with pixels of 0 ... 255; clips shorter than a crop lie between zeros."""

    Settings: ClassVar[type] = LitCropsSettings

    def __init__(self, settings: LitCropsSettings) -> None:
        self.settings = settings

    def windows(self, frames: int) -> tuple[Window, ...]:
        """Count windows, evenly over the clip."""
        places = starts(frames, self.settings.frames, self.settings.count)
        return tuple(Window(start, self.settings.frames, variant=i) for i, start in enumerate(places))

    def cut(self, spectrogram: Tensor, window: Window) -> Tensor:
        """(channels, bins, frames) -> the crop (channels, bins, window.frames) in [0, 1], lit as its variant says."""
        change, factor = self.lighting(window.variant)
        return lit(self.plain(spectrogram, window).float() / 255, change, factor)

    def plain(self, spectrogram: Tensor, window: Window) -> Tensor:
        """(channels, bins, frames) -> the crop (channels, bins, window.frames) with pixels of 0 ... 255."""
        return crop(spectrogram, window.start, window.frames)

    def finish(self, batch: Tensor, windows: Sequence[Window]) -> Tensor:
        """(batch, channels, bins, frames) of crops -> in [0, 1], lit as the windows' variants say, all at once."""
        pictures = batch.float() / 255
        added, factors, is_lit = torch.stack(
            [constant(_numbers(*self.lighting(w.variant)), pictures) for w in windows]
        ).T[..., None, None, None]
        changed = torch.sigmoid((torch.logit(pictures, CLOSEST) + added) * factors)
        return torch.where(is_lit > 0, changed, pictures)

    def lighting(self, variant: int) -> tuple[float | None, float | None]:
        """Change of brightness and factor of contrast of a pass, None where it leaves that alone."""
        chosen = self.settings
        drawn = [spread(variant, axis) / chosen.probability if chosen.probability else 1.0 for axis in (1, 2)]
        (low, high), (least, most) = chosen.brightness, chosen.contrast
        change = low + (high - low) * drawn[0] if drawn[0] < 1 else None
        return change, least * (most / least) ** drawn[1] if drawn[1] < 1 else None

    def prepare(self, batch: Tensor) -> Tensor:
        """(batch, 1 or channels, bins, frames) with the channels that the network takes."""
        return batch.expand(-1, self.settings.channels, -1, -1)


def _numbers(change: float | None, factor: float | None) -> tuple[float, float, float]:
    """What lighting adds to a logit, what it multiplies it by, and 1 where it does anything, else 0."""
    added = 0.0 if change is None else float(torch.logit(torch.tensor(change)))
    return added, 1.0 if factor is None else factor, float(change is not None or factor is not None)


def lit(picture: Tensor, change: float | None, factor: float | None) -> Tensor:
    """sigmoid((logit(picture) + logit(change)) * factor); what is None is left out, with neither nothing is done.

    Args:
        picture: any axes, in [0, 1].
        change: where brightness goes, in (0, 1); above a half is brighter.
        factor: what contrast is multiplied by.

    Source: fastai v1's lighting transforms.
    """
    if change is None and factor is None:
        return picture
    logits = torch.logit(picture, CLOSEST)
    if change is not None:
        logits = logits + torch.logit(torch.tensor(change, dtype=logits.dtype))
    return torch.sigmoid(logits if factor is None else logits * factor)
