"""Reverberation as Schroeder and Moorer built it: comb filters side by side, all-pass filters in a row.

Source: Jezar's Freeverb with the sizes and the scaling of SoX 14.4.2's reverb. It is linear, so each setting is one
impulse response, made once and convolved with as many waveforms as there are.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import ceil, exp, log

import numpy as np
import torch
from scipy.signal import lfilter
from torch import Tensor

from soundpost.training.effects.filters import filtered

COMBS = (1116, 1188, 1277, 1356, 1422, 1491, 1557, 1617)  # samples of delay at 44.1 kHz
ALL_PASSES = (225, 341, 441, 556)  # samples of delay at 44.1 kHz
SPREAD = 12  # samples by which the second channel's delays differ at full stereo depth
NOMINAL_RATE = 44100  # Hz


@dataclass(frozen=True)
class Reverb:
    """Percentages, unless a unit is given; the defaults are the program's."""

    reverberance: float = 50.0
    hf_damping: float = 50.0
    room_scale: float = 100.0
    stereo_depth: float = 100.0
    pre_delay_ms: float = 0.0
    wet_gain_db: float = 0.0


def reverb(waveform: Tensor, settings: Reverb, rate: int) -> Tensor:
    """The waveform with its reverberation, of the same length.

    Args:
        waveform: (1 or 2, samples); a stereo depth makes two channels out of one.
        settings: what the room is like.
        rate: Hz.

    Returns:
        (channels, samples) float32.
    """
    wet = [
        torch.from_numpy(_response(settings, rate, waveform.shape[-1], depth)).to(waveform.device)
        for depth in range(ceil(settings.stereo_depth / 100) + 1)
    ]
    if len(waveform) == 1:
        out = torch.cat([waveform.double() + filtered(waveform, response) for response in wet])
    else:
        both = torch.stack([filtered(waveform.double().sum(0), response) for response in (wet * 2)[:2]])
        out = waveform.double() + 0.5 * both
    return out.clamp(-1, 1).float()


@lru_cache(maxsize=4)
def _response(settings: Reverb, rate: int, samples: int, channel: int) -> np.ndarray:
    """What a single sample of height 1 leaves behind, (samples,) float64, without the sample itself."""
    scale, depth = settings.room_scale / 100 * 0.9 + 0.1, settings.stereo_depth / 100
    # Feedback runs from 0.7 to 0.98 along an exponential.
    steepness = -1 / log(1 - 0.3)
    middle = 100 / (log(1 - 0.98) * steepness + 1)
    feedback = 1 - exp((settings.reverberance - middle) / (steepness * middle))
    damping = settings.hf_damping / 100 * 0.3 + 0.2
    gain = 10 ** (settings.wet_gain_db / 20) * 0.015
    delay = int(settings.pre_delay_ms / 1000 * rate + 0.5)
    impulse = np.zeros(samples)
    if delay < samples:
        impulse[delay] = 1
    offset, per_sample = channel * depth, rate / NOMINAL_RATE
    total = np.zeros(samples)
    for number, length in enumerate(COMBS):
        shift = SPREAD * (offset if number % 2 == 0 else -offset)
        total += _comb(impulse, int(scale * per_sample * (length + shift) + 0.5), feedback, damping)
    for number, length in enumerate(ALL_PASSES):
        shift = SPREAD * (offset if number % 2 == 0 else -offset)
        total = _all_pass(total, int(per_sample * (length + shift) + 0.5))
    return total * gain


def _comb(x: np.ndarray, delay: int, feedback: float, damping: float) -> np.ndarray:
    """A delay line fed by its own output, of which high frequencies are damped."""
    out, state, line = np.zeros_like(x), np.zeros(1), np.zeros(delay)
    for begin in range(0, len(x), delay):
        part = x[begin : begin + delay]
        out[begin : begin + delay] = line[: len(part)]
        damped, state = lfilter([1 - damping], [1, -damping], line[: len(part)], zi=state)
        line = part + feedback * damped
    return out


def _all_pass(x: np.ndarray, delay: int) -> np.ndarray:
    out, line = np.zeros_like(x), np.zeros(delay)
    for begin in range(0, len(x), delay):
        part = x[begin : begin + delay]
        held = line[: len(part)]
        out[begin : begin + delay] = held - part
        line = part + 0.5 * held
    return out
