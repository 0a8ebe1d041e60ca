"""Tiles of random clips that overlap, as networks take them."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from soundpost.views.batch import stack
from soundpost.views.tiles import Tiles, TilesSettings


def tiles_for(name: str, step: int) -> Tiles:
    """Tiles as the network takes them."""
    return Tiles(TilesSettings(frames=128, step=step, derivatives="argus" in name, divisor=10.0))


def windows_of(view: Tiles, lengths: Sequence[int], seed: int = 0) -> Tensor:
    """The windows of clips of so many frames, stacked one clip after the other."""
    random = np.random.default_rng(seed)
    parts = []
    for frames in lengths:
        clip = (random.normal(size=(1, 16, frames)) * 6 - 30).astype(np.float32)
        windows = view.windows(frames)
        parts.append(stack([clip] * len(windows), windows, view))
    return torch.cat(parts)
