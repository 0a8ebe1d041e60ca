"""Another sample rate, as librosa does it."""

from collections.abc import Callable

import numpy as np
import soxr

from soundpost.audio.sinc import resample_sinc

RATES = (1000, 1_000_000)  # Hz; a header that says anything else is damaged, and resampling it would fill the memory


def resample(waveform: np.ndarray, old: int, new: int) -> np.ndarray:
    """What librosa.resample gives by default, without the seconds that importing librosa takes.

    Args:
        waveform: (samples,) float32.
        old: Hz, of the waveform.
        new: Hz, of the result.
    """
    resampled = soxr.resample(waveform, old, new, quality="soxr_hq")
    samples = -(-len(waveform) * new // old)
    return np.pad(resampled[:samples], (0, max(0, samples - len(resampled))))


RESAMPLERS: dict[str, Callable[[np.ndarray, int, int], np.ndarray]] = {"soxr": resample, "sinc": resample_sinc}
