"""Pictures of one short-time spectrum on a linear, logarithmic or mel axis, in amplitude or decibels, as plots show it.

"High resolution spectrograms" (Freesound 2018) drew them with a plotting library and trained on the plots: each pixel
shows one bin, and the axis only decides which. Its mel axis takes the linear bins for mel bands and then spaces them
by mel, so that it is nearly linear; that is kept, because the weights know nothing else.
"""

import functools
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from soundpost.errors import SettingsError
from soundpost.front_ends.rendering import SIDE, coloured
from soundpost.functional.mel import decibels, mel_frequencies
from soundpost.functional.stft import Framing, check_waveforms, power_spectra

AXES = ("linear", "log", "mel")
ROWS, COLUMNS = 221, 223  # pixels of the plotting area, before the picture gets its final size
BOX_HEIGHT, BOX_WIDTH = 221.76, 223.2  # the same area before it is cut to whole pixels
LINEAR_BELOW = 65.4064  # Hz, the note C2; the logarithmic axis is linear below it


@dataclass(frozen=True)
class AxisPictureSettings:
    """Which picture, of a waveform of about two seconds."""

    axis: str = "log"  # "linear", "log" or "mel"
    loudness: str = "db"  # "db" or "linear"
    sample_rate: int = 22050  # Hz
    n_fft: int = 2048  # samples; 93 ms at 22.05 kHz
    hop_length: int = 512  # samples; 23 ms
    top_db: float = 80.0  # dB below this clip's maximum, the smallest value
    pad_mode: str = "reflect"


class AxisPicture:
    """Three colours, 224 x 224, the highest frequency on top, whatever the length of the clip."""

    Settings: ClassVar[type] = AxisPictureSettings

    def __init__(self, settings: AxisPictureSettings) -> None:
        if settings.axis not in AXES or settings.loudness not in ("linear", "db"):
            raise SettingsError(
                f"axis '{settings.axis}' with loudness '{settings.loudness}' is not known; known: {', '.join(AXES)}; "
                "linear, db. Correct [front_end]."
            )
        self.settings = settings
        self.framing = Framing(settings.n_fft, settings.hop_length, settings.pad_mode)

    def shape(self, samples: int) -> tuple[int, int, int]:
        """(3, 224, 224) for every length."""
        return 3, SIDE, SIDE

    def __call__(self, waveforms: Tensor) -> Tensor:
        """(batch, samples) -> (batch, 3, 224, 224) float32: red, green, blue, whole numbers 0 ... 255."""
        check_waveforms(waveforms)
        return torch.stack([self._draw(waveform) for waveform in waveforms])

    def loudness(self, waveform: Tensor) -> Tensor:
        """(samples,) -> (bins, frames): amplitude, or decibels of it."""
        frames = self.framing.frames(waveform.shape[0])
        level = waveform.new_empty(self.settings.n_fft // 2 + 1, frames)
        for first, power in power_spectra(waveform, self.framing):
            level[:, first : first + len(power)] = power.T
        return decibels(level, self.settings.top_db) if self.settings.loudness == "db" else level.sqrt_()

    def _draw(self, waveform: Tensor) -> Tensor:
        level = self.loudness(waveform)
        chosen = self.settings
        rows = bin_of_row(chosen.axis, chosen.sample_rate, chosen.n_fft).to(level.device)
        columns = frame_of_column(level.shape[1]).to(level.device)
        raster = level[rows][:, columns]
        return coloured(raster, level.min(), level.max(), self.palette(level))

    def palette(self, level: Tensor) -> str:
        """Two-sided colours if both the 2nd and the 98th percentile of the clip have a sign of their own."""
        if self.settings.loudness == "linear":
            return "magma"
        low, high = quantile(level.flatten(), 0.02), quantile(level.flatten(), 0.98)
        return "magma" if low >= 0 or high <= 0 else "coolwarm"


def quantile(values: Tensor, fraction: float) -> Tensor:
    """The value that this fraction of (n,) values lies below, between neighbours in proportion; any n."""
    position = fraction * (len(values) - 1)
    below, above = (values.kthvalue(min(int(position) + k, len(values))).values for k in (1, 2))
    return below + (above - below) * (position - int(position))


@functools.lru_cache(maxsize=32)
def bin_of_row(axis: str, sample_rate: int, n_fft: int) -> Tensor:
    """The bin that each row of the plotting area shows, (rows,), from the top."""
    bins, top = n_fft // 2 + 1, sample_rate / 2
    if axis == "mel":
        edges = mel_frequencies(bins, 0.0, top)
        edges[1:] -= 0.5 * np.diff(edges)
    else:
        edges = np.maximum(0, (np.arange(bins) - 0.5) * sample_rate / n_fft)
    heights = _height(np.append(edges, top), axis)
    heights *= BOX_HEIGHT / heights[-1]
    middle = ROWS - (np.arange(ROWS) + 0.5)
    return torch.from_numpy(np.searchsorted(heights, middle, side="right") - 1)


def frame_of_column(frames: int) -> Tensor:
    """The frame that each column of the plotting area shows, (columns,)."""
    return ((torch.arange(COLUMNS, dtype=torch.float64) + 0.5) * frames / BOX_WIDTH).floor_().long()


def _height(hz: np.ndarray, axis: str) -> np.ndarray:
    """How high a frequency is drawn, before the axis is stretched over the plotting area."""
    if axis == "linear":
        return hz
    threshold = LINEAR_BELOW if axis == "log" else 1000.0
    linear = hz if axis == "log" else 2 * hz
    above = (1 if axis == "log" else 2) + np.log2(np.maximum(hz, threshold) / threshold)
    return np.where(hz <= threshold, linear, threshold * above)
