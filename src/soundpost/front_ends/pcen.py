"""Mel power with per-channel energy normalisation: every band is divided by a power of its own recent loudness."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from soundpost.errors import SettingsError
from soundpost.functional.mel import Bands, mel_power
from soundpost.functional.stft import Framing, check_waveforms

STRETCH = 64  # frames that are smoothed by one matrix product
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


class TrainablePcen(nn.Module):
    """The same normalisation inside a network, its constants trained as logarithms, shared or one for each band."""

    def __init__(self, s: float, alpha: float, delta: float, r: float, eps: float, n_bands: int = 1) -> None:
        super().__init__()
        self.eps = eps
        self.log_s, self.log_alpha, self.log_delta, self.log_r = (
            nn.Parameter(torch.full((n_bands,), constant).log()) for constant in (s, alpha, delta, r)
        )

    def forward(self, power: Tensor) -> Tensor:
        """(batch, 1, mels, frames) mel power -> the same axes; the input stays as it is."""
        logs = (self.log_s, self.log_alpha, self.log_delta, self.log_r)
        smoothing, gain, bias, exponent = (log.exp().reshape(-1, 1) for log in logs)
        return pcen(power, smoothing, gain, bias, exponent, self.eps, 0.0)


def pcen(
    power: Tensor, smoothing: Tensor, gain: Tensor, bias: Tensor, exponent: Tensor, eps: float, start: float
) -> Tensor:
    """(power / (eps + loudness) ** gain + bias) ** exponent - bias ** exponent.

    Args:
        power: (..., mels, frames).
        smoothing: (1 or mels, 1), weight of the newest frame in the loudness.
        gain: (1 or mels, 1).
        bias: (1 or mels, 1).
        exponent: (1 or mels, 1).
        eps: added to the loudness.
        start: the loudness before the first frame.

    Source: Wang et al., "Trainable frontend for robust and far-field keyword spotting", 2017; librosa.pcen.
    """
    loudness = smoothed(power, smoothing, start)
    return (power / (eps + loudness) ** gain + bias) ** exponent - bias**exponent


def smoothed(power: Tensor, weight: Tensor, start: float) -> Tensor:
    """m[t] = (1 - weight) m[t - 1] + weight power[t], in stretches: a sum over the stretch and what decays into it.

    Args:
        power: (..., mels, frames).
        weight: (1 or mels, 1).
        start: m before the first frame.
    """
    steps = torch.arange(STRETCH, device=power.device)
    age = steps[:, None] - steps  # frames from the frame that is heard to the frame that hears it
    decay = (1 - weight)[..., None]
    response = (weight[..., None] * decay ** age.clamp(min=0) * (age >= 0)).mT  # (1 or mels, heard, hearing)
    fading = decay[..., 0] ** (steps + 1)
    last = torch.full_like(power[..., :1], start)
    pieces = []
    for piece in power.split(STRETCH, dim=-1):
        frames = piece.shape[-1]
        heard = (piece[..., None, :] @ response[:, :frames, :frames]).squeeze(-2)
        pieces.append(heard + last * fading[:, :frames])
        last = pieces[-1][..., -1:]
    return torch.cat(pieces, -1)
