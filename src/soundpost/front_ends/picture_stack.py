"""Several pictures of one clip in shades of grey, one in each channel."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from soundpost.errors import SettingsError
from soundpost.front_ends.axis_picture import AXES, AxisPicture, AxisPictureSettings
from soundpost.front_ends.front_end import Compiling
from soundpost.front_ends.reassigned_picture import ReassignedPicture, ReassignedPictureSettings
from soundpost.front_ends.rendering import SIDE, luminance
from soundpost.functional.stft import check_waveforms


@dataclass(frozen=True)
class PictureStackSettings:
    """Which pictures; the default is the best published combination."""

    # "q1", "q2", "q4", "q8": reassigned; "linear_db", "log_linear" and so on: axis and loudness
    pictures: tuple[str, ...] = ("q1", "q8", "log_db")


class PictureStack:
    """One channel of 224 x 224 for each picture: its luminance, which two-sided colours do not order by loudness."""

    Settings: ClassVar[type] = PictureStackSettings

    def __init__(self, settings: PictureStackSettings) -> None:
        self.settings = settings
        self.front_ends = [_front_end(name) for name in settings.pictures]

    def shape(self, samples: int) -> tuple[int, int, int]:
        """(pictures, 224, 224) for every length."""
        return len(self.front_ends), SIDE, SIDE

    def compile(self) -> None:
        """Compile what reassigned pictures are computed with; see front_end.Compiling."""
        for front_end in self.front_ends:
            if isinstance(front_end, Compiling):
                front_end.compile()

    def __call__(self, waveforms: Tensor) -> Tensor:
        """(batch, samples) -> (batch, pictures, 224, 224) float32, whole numbers 0 ... 255."""
        check_waveforms(waveforms)
        drawn = [torch.stack([luminance(clip) for clip in front_end(waveforms)]) for front_end in self.front_ends]
        return torch.stack(drawn, 1)


def _front_end(name: str) -> AxisPicture | ReassignedPicture:
    axis, _, loudness = name.partition("_")
    if axis in AXES:
        return AxisPicture(AxisPictureSettings(axis=axis, loudness=loudness))
    if name in ("q1", "q2", "q4", "q8"):
        return ReassignedPicture(ReassignedPictureSettings(q=float(name[1:])))
    raise SettingsError(f"picture '{name}' is not known; known: q1, q2, q4, q8, axis_loudness. Correct [front_end].")
