"""Log-mel spectrogram in dB, as librosa's melspectrogram and power_to_db give it; the default front end."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from soundpost.errors import SettingsError
from soundpost.functional.deltas import WIDTH, with_derivatives
from soundpost.functional.mel import Bands, decibels, mel_power
from soundpost.functional.stft import Framing, check_waveforms

DERIVED_AT_ONCE = 1 << 20  # values whose derivatives are computed at once; it takes ten times as much memory


@dataclass(frozen=True)
class LogMelSettings:
    """Sizes of the spectrogram; the defaults are those of the first place of Freesound 2019."""

    sample_rate: int = 44100  # Hz
    n_fft: int = 2560  # samples; 58 ms at 44.1 kHz
    hop_length: int = 690  # samples; 15.6 ms, 63.9 frames per second
    n_mels: int = 128
    fmin: float = 20.0  # Hz
    fmax: float = 0.0  # Hz; 0 is half the sample rate
    top_db: float = 80.0  # dB below this clip's maximum, the smallest value; 0 sets no such floor
    pad_mode: str = "reflect"  # "reflect" as librosa until 0.8, "constant" (zeros) as librosa since 0.9
    deltas: int = 0  # how many time derivatives of the whole clip follow as channels: 0, 1 or 2


class LogMel:
    """Decibels of mel power; the same for a clip alone and in any batch."""

    Settings: ClassVar[type] = LogMelSettings

    def __init__(self, settings: LogMelSettings) -> None:
        if settings.deltas not in (0, 1, 2):
            raise SettingsError(f"deltas = {settings.deltas}; known: 0, 1, 2. Correct [front_end].")
        self.settings = settings
        self.framing = Framing(settings.n_fft, settings.hop_length, settings.pad_mode)
        self.bands = Bands(settings.sample_rate, settings.n_fft, settings.n_mels, settings.fmin, settings.fmax)
        self.frames_beside = (
            WIDTH // 2 if settings.deltas else 0
        )  # to each side, that a frame's derivatives are made of

    def shape(self, samples: int) -> tuple[int, int, int]:
        """(1 + deltas, n_mels, frames); frames = 1 + samples // hop_length."""
        return 1 + self.settings.deltas, self.settings.n_mels, self.framing.frames(samples)

    def __call__(self, waveforms: Tensor) -> Tensor:
        """(batch, samples) -> (batch, 1 + deltas, n_mels, frames) float32, dB; the lowest band is row 0.

        Source: librosa.feature.melspectrogram and power_to_db (Slaney mel scale and area, periodic Hann, power 2).
        """
        check_waveforms(waveforms)
        result = waveforms.new_empty(waveforms.shape[0], *self.shape(waveforms.shape[1]))
        for row, waveform in zip(result, waveforms, strict=True):
            row[0] = decibels(mel_power(waveform, self.framing, self.bands), self.settings.top_db)
            if self.settings.deltas:
                row[1:] = self._derivatives(row[0])
        return result

    def _derivatives(self, log_mel: Tensor) -> Tensor:
        """(mels, frames) -> (deltas, mels, frames); a clip of fewer than 9 frames goes on as its last frame."""
        frames = log_mel.shape[1]
        enough = F.pad(log_mel[None], (0, max(0, WIDTH - frames)), mode="replicate")
        some_bands = enough.split(max(1, DERIVED_AT_ONCE // enough.shape[2]), dim=1)
        derived = [with_derivatives(bands[None])[0, 1 : 1 + self.settings.deltas, :, :frames] for bands in some_bands]
        return torch.cat(derived, 1)
