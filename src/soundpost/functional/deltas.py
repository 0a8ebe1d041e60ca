"""First and second time derivatives of a spectrogram, as librosa.feature.delta gives them, on any device."""

import torch
from torch import Tensor
from torch.nn import functional as F

from soundpost.errors import ShapeError
from soundpost.functional.constants import constant

WIDTH = 9  # frames under one Savitzky-Golay fit: a line for the first derivative, a parabola for the second
FIRST = tuple(k / 60 for k in range(-4, 5))
SECOND = tuple(c / 462 for c in (28, 7, -8, -17, -20, -17, -8, 7, 28))


def with_derivatives(batch: Tensor) -> Tensor:
    """A spectrogram and its first two time derivatives as three channels.

    The four frames at each end take the derivatives of the nearest full fit: a line has one slope, a parabola one
    second derivative.

    Args:
        batch: (batch, 1, bins, frames) with at least 9 frames.

    Returns:
        (batch, 3, bins, frames).

    Raises:
        ShapeError: other axes, or too few frames.

    Source: librosa.feature.delta(width=9, order=1 and 2, mode="interp"), Savitzky and Golay 1964.
    """
    if batch.dim() != 4 or batch.shape[1] != 1 or batch.shape[3] < WIDTH:
        raise ShapeError(
            f"derivatives of a batch of shape {tuple(batch.shape)}: (batch, 1, bins, frames) with {WIDTH} frames or "
            "more is needed. Give windows of that many frames and a front end with one channel."
        )
    clips, _, bins, frames = batch.shape
    kernels = constant((FIRST, SECOND), batch).unsqueeze(1)
    slopes = F.conv1d(batch.reshape(clips * bins, 1, frames), kernels)
    edges = (WIDTH // 2, WIDTH // 2)
    slopes = F.pad(slopes, edges, mode="replicate").reshape(clips, bins, 2, frames).transpose(1, 2)
    return torch.cat([batch, slopes], 1)
