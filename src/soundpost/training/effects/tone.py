"""Shelves, bells and fades: what the seventh place did to its copies of every clip.

Source: Robert Bristow-Johnson's audio equaliser cookbook, as SoX 14.4.2's treble, bass and equalizer use it.
"""

from math import cos, pi, sin, sqrt

import numpy as np
import torch
from scipy.signal import lfilter
from torch import Tensor

Biquad = tuple[tuple[float, float, float], tuple[float, float, float]]


def shelf(gain_db: float, rate: int, is_treble: bool, slope: float = 0.5) -> Biquad:
    """Coefficients of SoX's treble (from 3,000 Hz up) or bass (up to 100 Hz)."""
    frequency = 3000.0 if is_treble else 100.0
    w, height = 2 * pi * frequency / rate, 10 ** (gain_db / 40)
    alpha = sin(w) / 2 * sqrt((height + 1 / height) * (1 / slope - 1) + 2)
    sign = 1 if is_treble else -1
    edge, c = 2 * sqrt(height) * alpha, cos(w)
    up, down = height + 1, height - 1
    b = (
        height * (up + sign * down * c + edge),
        -sign * 2 * height * (down + sign * up * c),
        height * (up + sign * down * c - edge),
    )
    a = (up - sign * down * c + edge, sign * 2 * (down - sign * up * c), up - sign * down * c - edge)
    return b, a


def bell(frequency: float, q: float, gain_db: float, rate: int) -> Biquad:
    """Coefficients of SoX's equalizer, its width given as a quality factor q."""
    w, height = 2 * pi * frequency / rate, 10 ** (gain_db / 40)
    alpha, c = sin(w) / (2 * q), -2 * cos(w)
    return (1 + alpha * height, c, 1 - alpha * height), (1 + alpha / height, c, 1 - alpha / height)


def toned(waveform: Tensor, filters: list[Biquad], headroom_db: float = 0.0) -> Tensor:
    """The waveform through filters in a row, lowered first; (channels, samples) float32, clipped after each."""
    values = waveform.cpu().double().numpy() * 10 ** (-headroom_db / 20)
    for b, a in filters:
        values = np.clip(lfilter(b, a, values), -1, 1)
    return torch.from_numpy(values.astype(np.float32)).to(waveform.device)


def faded_in(waveform: Tensor, seconds: float, rate: int) -> Tensor:
    """The waveform (channels, samples) that rises along a quarter of a sine."""
    place = torch.arange(waveform.shape[-1], device=waveform.device, dtype=torch.float64) / (seconds * rate)
    return (waveform * torch.sin(place.clamp(max=1) * pi / 2)).float()
