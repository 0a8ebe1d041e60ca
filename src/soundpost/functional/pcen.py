"""Per-channel energy normalisation of mel power, as a front end computes it and as a network may learn it."""

import torch
from torch import Tensor

STRETCH = 64  # frames that are smoothed by one matrix product


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
