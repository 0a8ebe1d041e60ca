"""Log-mel pictures: decibels stretched over 0 ... 255 and cut to whole numbers, as ERC 2019 and kernels stored them."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from soundpost.errors import SettingsError
from soundpost.functional.mel import Bands, decibels, mel_power
from soundpost.functional.stft import Framing, check_waveforms


@dataclass(frozen=True)
class PictureSettings:
    """Sizes; the defaults are those of the first place of ERC 2019."""

    sample_rate: int = 16000  # Hz
    n_fft: int = 2560  # samples; 160 ms at 16 kHz
    hop_length: int = 250  # samples; 15.6 ms
    n_mels: int = 128  # bands of all colours together
    fmin: float = 20.0  # Hz
    fmax: float = 0.0  # Hz; 0 is half the sample rate
    top_db: float = 80.0  # dB below this clip's maximum, the smallest value; 0 sets no such floor
    pad_mode: str = "reflect"  # "reflect" as librosa until 0.8, "constant" (zeros) as librosa since 0.9
    colours: int = 1  # 1: one grey channel; 3: the lowest, middle and highest third of the bands as three channels


class Picture:
    """Whole numbers from 0, the clip's smallest value, to 255, its largest (254 where rounding takes it)."""

    Settings: ClassVar[type] = PictureSettings

    def __init__(self, settings: PictureSettings) -> None:
        if settings.colours < 1 or settings.n_mels % settings.colours:
            raise SettingsError(
                f"n_mels {settings.n_mels} in {settings.colours} colours of equal height: not possible. "
                "Make n_mels a multiple of colours."
            )
        self.settings = settings
        self.framing = Framing(settings.n_fft, settings.hop_length, settings.pad_mode)
        self.bands = Bands(settings.sample_rate, settings.n_fft, settings.n_mels, settings.fmin, settings.fmax)

    def shape(self, samples: int) -> tuple[int, int, int]:
        """(colours, n_mels // colours, frames); frames = 1 + samples // hop_length."""
        colours = self.settings.colours
        return colours, self.settings.n_mels // colours, self.framing.frames(samples)

    def __call__(self, waveforms: Tensor) -> Tensor:
        """(batch, samples) -> (batch, colours, bins, frames) float32, whole numbers; the lowest band is row 0.

        All colours of a clip share one stretch. A clip of one single value is 0 throughout.

        Source: suicao/Pytorch-Audio-Emotion-Recognition (one grey channel); filipmu, Freesound 2019 (224 bands in grey
        or 672 in three colours).
        """
        check_waveforms(waveforms)
        result = waveforms.new_empty(waveforms.shape[0], *self.shape(waveforms.shape[1]))
        for row, waveform in zip(result, waveforms, strict=True):
            level = decibels(mel_power(waveform, self.framing, self.bands), self.settings.top_db)
            row.copy_(stretched(level).view_as(row))
        return result


def stretched(level: Tensor) -> Tensor:
    """Standardised, then stretched from the smallest to the largest value over 0 ... 255 and cut to whole numbers.

    Standardising is undone by stretching, but its rounding decides the last level of some pixels. Overwrites level.
    """
    deviation, mean = torch.std_mean(level, correction=0)
    level.sub_(mean).div_(deviation + 1e-6)
    low, high = torch.aminmax(level)
    if high - low <= 1e-6:
        return level.zero_()
    return level.sub_(low).mul_(255).div_(high - low).floor_()
