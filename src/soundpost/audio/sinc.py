"""Resampling by a windowed sinc, as torchaudio's functional.resample does it by default; for recipes trained on it."""

import math

import numpy as np

ZERO_CROSSINGS = 6  # how far the sinc goes, on each side
ROLL_OFF = 0.99  # share of the lower of both Nyquist frequencies


def resample_sinc(waveform: np.ndarray, old: int, new: int) -> np.ndarray:
    """A waveform at another rate, (ceil(samples * new / old),) float32.

    The filters for all phases of the output are one table, (new, taps), with both rates divided by their divisor.

    Args:
        waveform: (samples,) float32.
        old: Hz.
        new: Hz.

    Source: torchaudio.functional.resample, sinc_interp_hann, lowpass_filter_width 6, rolloff 0.99.
    """
    divisor = math.gcd(old, new)
    up, down = new // divisor, old // divisor
    cutoff = min(up, down) * ROLL_OFF
    width = math.ceil(ZERO_CROSSINGS * down / cutoff)
    taps = np.arange(-width, width + down) / down
    times = (taps[None, :] - np.arange(up)[:, None] / up) * cutoff
    times = np.clip(times, -ZERO_CROSSINGS, ZERO_CROSSINGS)
    window = np.cos(times * np.pi / ZERO_CROSSINGS / 2) ** 2
    filters = np.sinc(times) * window * cutoff / down
    padded = np.pad(waveform.astype(np.float64), (width, width + down))
    frames = np.lib.stride_tricks.sliding_window_view(padded, filters.shape[1])[::down]
    resampled = (frames @ filters.T).ravel()
    return resampled[: -(-len(waveform) * up // down)].astype(np.float32)
