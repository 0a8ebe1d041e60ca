"""Pictures of the reassigned spectrogram: energy put where it belongs, on a logarithmic frequency axis."""

import functools
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from soundpost.front_ends.reassignment import Grid, compile_for, reassigned
from soundpost.front_ends.rendering import SIDE, coloured
from soundpost.functional.stft import check_waveforms

PIXELS = 221  # rows and columns of the plotting area, before the picture gets its final size
DRAWN = 222  # pixels over which the cells are spread; the first of them is cut off


@dataclass(frozen=True)
class ReassignedPictureSettings:
    """The grid; the defaults make 224 x 224 cells of 44,100 samples."""

    q: float = 8.0  # cycles in a standard deviation of a filter's impulse response; published: 1, 2, 4, 8
    hop_length: int = 197  # samples; 8.9 ms at 22.05 kHz
    rows_per_octave: float = 26.2
    fmin: float = 1.4e-3  # cycles per sample; 30.87 Hz at 22.05 kHz
    fmax: float = 0.5  # cycles per sample; half the sample rate
    filters_per_row: int = 10
    top_db: float = 80.0  # below this clip's maximum, the smallest value; energies in decibels of amplitude, so 40 dB
    double: bool = False  # transform in float64, at twice the time; pictures differ in a few pixels


class ReassignedPicture:
    """Three colours, 224 x 224, the highest frequency on top, whatever the length of the clip."""

    Settings: ClassVar[type] = ReassignedPictureSettings

    def __init__(self, settings: ReassignedPictureSettings) -> None:
        self.settings = settings
        self.grid = Grid(
            settings.q,
            settings.hop_length,
            settings.rows_per_octave,
            settings.fmin,
            settings.fmax,
            settings.filters_per_row,
            settings.double,
        )

    def shape(self, samples: int) -> tuple[int, int, int]:
        """(3, 224, 224) for every length."""
        return 3, SIDE, SIDE

    def compile(self) -> None:
        """Compile what pictures are computed with; see front_end.Compiling."""
        compile_for(self.grid)

    def __call__(self, waveforms: Tensor) -> Tensor:
        """(batch, samples) -> (batch, 3, 224, 224) float32: red, green, blue, whole numbers 0 ... 255."""
        check_waveforms(waveforms)
        return torch.stack([self._draw(waveform) for waveform in waveforms])

    def _draw(self, waveform: Tensor) -> Tensor:
        return self.picture(trusted(*reassigned(waveform, self.grid)))

    def picture(self, energy: Tensor) -> Tensor:
        """(rows, columns) of energy -> (3, 224, 224)."""
        level = 20 * torch.log10(energy.clamp(min=1e-5))
        level = level.clamp(min=level.max() - self.settings.top_db)
        rows, columns = cells_shown(1.5, level.shape[0]), cells_shown(0.5, level.shape[1])
        raster = level[rows.to(level.device)][:, columns.to(level.device)]
        return coloured(raster, level.min(), level.max(), "viridis")


def trusted(energy: Tensor, visits: Tensor, threshold: float | None = None) -> Tensor:
    """Energy of the cells with at least that many visits, 0 elsewhere.

    The threshold is the root of the most visits that a cell got, unless one is given: in digital silence the visits
    come from rounding noise, and with them the threshold of the whole clip.
    """
    least = float(visits.max()) ** 0.5 if threshold is None else threshold
    return torch.where(visits < least, torch.zeros_like(energy), energy)


@functools.lru_cache(maxsize=32)
def cells_shown(first: float, count: int) -> Tensor:
    """The cell that each pixel along one axis shows, (pixels,)."""
    return ((torch.arange(PIXELS, dtype=torch.float64) + first) * count / DRAWN).floor_().long().clamp_(max=count - 1)
