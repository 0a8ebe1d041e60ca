"""Speed and pitch together: the waveform at another rate."""

import numpy as np
import soxr
import torch
from torch import Tensor


def speed(waveform: Tensor, factor: float) -> Tensor:
    """The waveform played faster (factor > 1) or slower.

    Args:
        waveform: (channels, samples) in [-1, 1].
        factor: how many times as fast.

    Returns:
        (channels, round(samples / factor)) float32.
    """
    return resampled(waveform, factor).clamp(-1, 1)


def resampled(waveform: Tensor, factor: float) -> Tensor:
    """(channels, samples) -> (channels, round(samples / factor)) by SoX's own resampler, on the processor."""
    wanted = int(waveform.shape[-1] / factor + 0.5)
    out = soxr.resample(waveform.cpu().numpy().T.astype(np.float64), factor, 1.0, quality="HQ").T[:, :wanted]
    padded = np.pad(out, ((0, 0), (0, wanted - out.shape[1])))
    return torch.from_numpy(padded.astype(np.float32)).to(waveform.device)
