"""Mel power with per-channel energy normalisation: every band is divided by a power of its own recent loudness."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from soundpost.errors import SettingsError
from soundpost.functional.mel import Bands, mel_power
from soundpost.functional.pcen import pcen
from soundpost.functional.stft import Framing, check_waveforms

PerBand = float | tuple[float, ...]  # one number for all bands, or one for each


@dataclass(frozen=True)
class PcenSettings:
    """Sizes and constants; the defaults are those of simongrest (Freesound 2019, 44th place)."""

    sample_rate: int = 44100  # Hz
    n_fft: int = 5120  # samples; 116 ms at 44.1 kHz
    hop_length: int = 689  # samples; 15.6 ms
    n_mels: int = 256
    fmin: float = 0.0  # Hz
    fmax: float = 0.0  # Hz; 0 is half the sample rate
    pad_mode: str = "reflect"  # "reflect" as librosa until 0.8, "constant" (zeros) as librosa since 0.9
    gain: PerBand = 0.6  # exponent of the smoothed loudness
    bias: PerBand = 0.1
    power: PerBand = 0.2
    eps: float = 1e-9  # added to the smoothed loudness
    time_constant: float = 0.4  # s; of the smoother
    smoothing: PerBand = 0.0  # weight of the newest frame; 0 derives it from time_constant
    start: float = 0.0  # what came before the first frame: 0 as librosa until 0.6, 1 as librosa since 0.7


class Pcen:
    """Normalised over the whole clip from its first frame on, so cut windows from it afterwards, never before."""

    Settings: ClassVar[type] = PcenSettings

    def __init__(self, settings: PcenSettings) -> None:
        for name in ("gain", "bias", "power", "smoothing"):
            constant = getattr(settings, name)
            if isinstance(constant, tuple) and len(constant) != settings.n_mels:
                raise SettingsError(
                    f"{name} has {len(constant)} numbers for {settings.n_mels} mel bands. Give one, or one for each."
                )
        self.settings = settings
        # Next to the fifth root of a quiet band, the rounding of a float32 transform would be seen.
        self.framing = Framing(settings.n_fft, settings.hop_length, settings.pad_mode, double=True)
        self.bands = Bands(settings.sample_rate, settings.n_fft, settings.n_mels, settings.fmin, settings.fmax)

    def shape(self, samples: int) -> tuple[int, int, int]:
        """(1, n_mels, frames); frames = 1 + samples // hop_length."""
        return 1, self.settings.n_mels, self.framing.frames(samples)

    def __call__(self, waveforms: Tensor) -> Tensor:
        """(batch, samples) -> (batch, 1, n_mels, frames) float32, no unit; the lowest band is row 0."""
        check_waveforms(waveforms)
        chosen = self.settings
        smoothing, gain, bias, power = (
            torch.tensor(constant, device=waveforms.device).reshape(-1, 1)
            for constant in (chosen.smoothing or self._smoothing(), chosen.gain, chosen.bias, chosen.power)
        )
        result = waveforms.new_empty(waveforms.shape[0], *self.shape(waveforms.shape[1]))
        for row, waveform in zip(result[:, 0], waveforms, strict=True):
            mels = mel_power(waveform, self.framing, self.bands)
            row.copy_(pcen(mels, smoothing, gain, bias, power, chosen.eps, chosen.start))
        return result

    def _smoothing(self) -> float:
        """Weight of the newest frame for which the smoother's step response reaches 1 - 1/e after time_constant."""
        frames = self.settings.time_constant * self.settings.sample_rate / self.settings.hop_length
        return ((1 + 4 * frames**2) ** 0.5 - 1) / (2 * frames**2)
