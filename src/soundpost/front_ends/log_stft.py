"""Natural logarithm of spectral magnitudes, by bin or by mel band, as the third place of Freesound 2019 had it."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from soundpost.functional.mel import Bands, mel_power
from soundpost.functional.stft import Framing, check_waveforms, power_spectra


@dataclass(frozen=True)
class LogStftSettings:
    """Sizes; the defaults are those of the published 1-D networks."""

    sample_rate: int = 44100  # Hz; places the mel bands
    n_fft: int = 256  # samples; 5.8 ms at 44.1 kHz
    hop_length: int = 128  # samples; 2.9 ms
    n_mels: int = 0  # 0: every bin of the transform by itself
    fmin: float = 5.0  # Hz
    fmax: float = 0.0  # Hz; 0 is half the sample rate
    offset: float = 1e-4  # added to the magnitude before the logarithm; silence is -9.21
    pad_mode: str = "reflect"


class LogStft:
    """ln(magnitude + offset): no decibels, no power, nothing relative to the clip."""

    Settings: ClassVar[type] = LogStftSettings

    def __init__(self, settings: LogStftSettings) -> None:
        self.settings = settings
        self.framing = Framing(settings.n_fft, settings.hop_length, settings.pad_mode)
        self.bands = Bands(settings.sample_rate, settings.n_fft, settings.n_mels, settings.fmin, settings.fmax)

    def shape(self, samples: int) -> tuple[int, int, int]:
        """(1, n_mels or n_fft // 2 + 1, frames); frames = 1 + samples // hop_length."""
        return 1, self.settings.n_mels or self.settings.n_fft // 2 + 1, self.framing.frames(samples)

    def __call__(self, waveforms: Tensor) -> Tensor:
        """(batch, samples) -> (batch, 1, bins, frames) float32, natural logarithm; the lowest bin is row 0.

        Source: ex4sperans/freesound-classification (Freesound 2019, third place), torch.stft defaults.
        """
        check_waveforms(waveforms)
        result = waveforms.new_empty(waveforms.shape[0], *self.shape(waveforms.shape[1]))
        for row, waveform in zip(result[:, 0], waveforms, strict=True):
            if self.settings.n_mels:
                row.copy_(mel_power(waveform, self.framing, self.bands, power=1))
            else:
                for first, power in power_spectra(waveform, self.framing):
                    row[:, first : first + len(power)] = power.sqrt_().T
        return result.add_(self.settings.offset).log_()
