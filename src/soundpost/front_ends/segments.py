"""Log-mel images of fixed segments of a clip, statistics of the whole of it and its length, as one array.

Source: systems specification of qrfaction/1st-Freesound-Audio-Tagging-2019, sections 2 and 3. The published network
computes the images itself, by a layer that can be trained but never was; they are the same for all its members.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from soundpost.audio.trim import trim
from soundpost.functional.mel import Bands, decibels, mel_power
from soundpost.functional.qrfaction_layout import STATISTICS, STEPS, pack, side_columns
from soundpost.functional.stft import Framing, check_waveforms, padded

PERCENTILES = (0, 1, 25, 30, 50, 60, 75, 99, 100)


@dataclass(frozen=True)
class SegmentsSettings:
    """Sizes of the segments and their images; the defaults are those of the second place of Freesound 2019."""

    sample_rate: int = 44100  # Hz
    n_fft: int = 1024  # samples; 23 ms
    hop_length: int = 512  # samples; 86 frames per second
    n_mels: int = 64
    fmin: float = 0.0  # Hz
    fmax: float = 0.0  # Hz; 0 is half the sample rate
    top_db: float = 80.0  # dB below the segment's loudest cell, the smallest value; the largest is 0
    segment_samples: int = 220500  # samples; 5 s
    positions: int = 3  # segments spread evenly from the beginning to the end of the trimmed clip
    trim_db: float = 60.0  # dB below the loudest frame; the segments leave quieter beginnings and ends out
    trim_pad_mode: str = "reflect"  # "reflect" as librosa until 0.8, "constant" (zeros) as librosa since 0.9
    length_unit: int = 441000  # samples of a trimmed clip whose length is given as 1


class Segments:
    """Images of the trimmed clip's segments, statistics of the untrimmed clip."""

    Settings: ClassVar[type] = SegmentsSettings

    def __init__(self, settings: SegmentsSettings) -> None:
        self.settings = settings
        self.framing = Framing(settings.n_fft, settings.hop_length, "same")
        self.bands = Bands(settings.sample_rate, settings.n_fft, settings.n_mels, settings.fmin, settings.fmax)

    def shape(self, samples: int) -> tuple[int, int, int]:
        """(1, n_mels, positions * frames of a segment + side columns), the same for clips of all lengths."""
        images = self.settings.positions * self.framing.frames(self.settings.segment_samples)
        return 1, self.settings.n_mels, images + side_columns(self.settings.n_mels)

    def __call__(self, waveforms: Tensor) -> Tensor:
        """(batch, samples), not trimmed -> (batch, 1, n_mels, columns) float32; each image in dB below its maximum."""
        check_waveforms(waveforms)
        return torch.stack([self._clip(waveform) for waveform in waveforms])

    def _clip(self, waveform: Tensor) -> Tensor:
        settings, whole = self.settings, waveform.cpu().numpy()
        start, end = trim(whole, settings.trim_db, settings.trim_pad_mode)
        images = [self.image(segment) for segment in self.segments(waveform[start:end])]
        statistics = torch.from_numpy(global_statistics(whole)).to(waveform.device)
        return pack(torch.cat(images, 1), statistics, (end - start) / settings.length_unit)

    def segments(self, trimmed: Tensor) -> list[Tensor]:
        """Stretches of segment_samples; a clip that is shorter lies at the same places among zeros."""
        length, last = self.settings.segment_samples, max(1, self.settings.positions - 1)
        spare = len(trimmed) - length
        sign = 1 if spare > 0 else -1
        starts = [sign * (abs(spare) * i // last) for i in range(self.settings.positions)]
        return [padded(trimmed, start, start + length, "constant") for start in starts]

    def image(self, segment: Tensor) -> Tensor:
        """(samples,) -> (n_mels, frames), dB below its largest value; silence is 0 throughout."""
        image = decibels(mel_power(segment, self.framing, self.bands), self.settings.top_db)
        return image - image.max()


def global_statistics(waveform: np.ndarray) -> np.ndarray:
    """Twelve numbers of each of 128 overlapping windows over a whole clip.

    Args:
        waveform: (samples,) float32; one of fewer than 128 samples goes on as zeros.

    Returns:
        (128, 12) float32: mean, standard deviation, range, and the percentiles 0, 1, 25, 30, 50, 60, 75, 99, 100.
    """
    waveform = np.pad(waveform, (0, max(0, STEPS - len(waveform))))
    stride = len(waveform) / STEPS
    starts = np.array([max(0, int(k * stride - stride / 2)) for k in range(STEPS)])
    ends = np.minimum([int(k * stride + 1.5 * stride) for k in range(STEPS)], len(waveform))
    result = np.empty((STEPS, STATISTICS), np.float32)
    for size in np.unique(ends - starts):  # a handful: windows differ by one sample, but for the first and the last
        same = np.flatnonzero(ends - starts == size)
        windows = waveform[starts[same, None] + np.arange(size)]
        percentiles = np.percentile(windows, PERCENTILES, axis=1)
        span = percentiles[-1] - percentiles[0]
        result[same] = np.stack([windows.mean(1), windows.std(1), span, *percentiles], axis=1)
    return result
