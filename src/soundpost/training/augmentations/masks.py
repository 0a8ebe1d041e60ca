"""Bands of bins and stretches of frames of a batch covered with one value a clip."""

import torch
from torch import Tensor


def covered(inputs: Tensor, bands: Tensor, stretches: Tensor, fill: Tensor) -> Tensor:
    """Copies of pictures in which bands and stretches hold one value.

    Args:
        inputs: (batch, channels, bins, frames).
        bands: (batch, masks, 2) first covered bin and the first behind it; equal: none.
        stretches: (batch, masks, 2) the same of frames.
        fill: (batch,) the value.
    """
    device = inputs.device
    bins = _inside(bands.to(device), inputs.shape[-2])[:, None, :, None]
    frames = _inside(stretches.to(device), inputs.shape[-1])[:, None, None]
    return torch.where(bins | frames, fill.to(inputs)[:, None, None, None], inputs)


def _inside(spans: Tensor, size: int) -> Tensor:
    """(batch, size) bool: what any of the spans (batch, masks, 2) covers."""
    place = torch.arange(size, device=spans.device)
    return ((place >= spans[..., :1]) & (place < spans[..., 1:])).any(1)
