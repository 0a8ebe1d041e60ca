"""Waveforms in half the room where nothing is lost by it: a network is to hear in training what it hears later.

Rounding a clip that has more than 16 bits, such as one that was compressed or resampled, lifts its quietest bins, and
a network that has learnt the lifted ones may answer the true ones wrongly.
"""

import numpy as np
import torch
from torch import Tensor

STEPS = 2**15  # from silence to full scale


def kept(waveform: np.ndarray) -> np.ndarray:
    """(samples,) int16 of a waveform whose samples are all steps of 16 bits; any other as it is, float32."""
    steps = waveform * np.float32(STEPS)
    is_exact = np.array_equal(steps, np.round(steps)) and np.all((steps >= -STEPS) & (steps < STEPS))
    return steps.astype(np.int16) if is_exact else waveform


def as_waveform(samples: np.ndarray) -> Tensor:
    """The waveform of which these were kept, (samples,) float32, in memory of its own."""
    waveform = torch.tensor(samples)
    return waveform / STEPS if samples.dtype == np.int16 else waveform
