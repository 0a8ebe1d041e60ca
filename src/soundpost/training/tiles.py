"""Answers to a clip's tiles as a second level hears them in training: some of them, averaged."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor


@dataclass(frozen=True)
class TileDrawSettings:
    """How often tiles are left out."""

    run: float = 0.5  # probability that a run of neighbours is kept
    subset: float = 0.5  # probability that, of what is left, any of them are kept


def draw(settings: TileDrawSettings, tiles: int, generator: Generator) -> Tensor:
    """Which tiles of a clip are heard, (kept,) int64, at least one.

    Source: systems specification of argus.
    """
    kept = torch.arange(tiles)
    if torch.rand((), generator=generator) < settings.run:
        length = int(torch.randint(1, len(kept) + 1, (), generator=generator))
        start = int(torch.randint(len(kept) - length + 1, (), generator=generator))
        kept = run_of(kept, start, length)
    if torch.rand((), generator=generator) < settings.subset:
        size = int(torch.randint(1, len(kept) + 1, (), generator=generator))
        kept = kept[torch.randperm(len(kept), generator=generator)[:size]]
    return kept


def run_of(kept: Tensor, start: int, length: int) -> Tensor:
    """Neighbouring tiles."""
    return kept[start : start + length]


def apply(answers: np.ndarray, kept: Tensor) -> np.ndarray:
    """Mean of the answers (tiles, answers) to the tiles that are heard."""
    return answers[kept.numpy()].mean(0)
