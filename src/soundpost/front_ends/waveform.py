"""The waveform itself, for networks that take samples and make their own spectrogram."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from soundpost.functional.stft import check_waveforms


@dataclass(frozen=True)
class WaveformSettings:
    """In which unit the network expects samples."""

    scale: float = 1.0  # samples are multiplied by it; 32768 for networks that were shown 16-bit whole numbers


class Waveform:
    """Samples as one channel with one bin: a frame is a sample, for views and batches as for any spectrogram."""

    Settings: ClassVar[type] = WaveformSettings

    def __init__(self, settings: WaveformSettings) -> None:
        self.settings = settings

    def shape(self, samples: int) -> tuple[int, int, int]:
        """(1, 1, samples)."""
        return 1, 1, samples

    def __call__(self, waveforms: Tensor) -> Tensor:
        """(batch, samples) -> (batch, 1, 1, samples) float32, times scale."""
        check_waveforms(waveforms)
        return (waveforms * self.settings.scale).float()[:, None, None]
