"""Answers to a clip's tiles as a second level hears them in training: some of them, averaged."""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor


@dataclass(frozen=True)
class TileDrawSettings:
    """How often tiles are left out."""

    run: float = 0.5  # probability that a run of neighbours is kept
    subset: float = 0.5  # probability that, of what is left, any of them are kept


def draw(settings: TileDrawSettings, counts: Tensor, generator: Generator) -> Tensor:
    """Which tiles of each clip are heard, (clips, tiles of the longest) bool, at least one of each.

    Args:
        settings: how often.
        counts: (clips,) int64, tiles of each.
        generator: decides.

    Source: systems specification of argus.
    """
    clips, most = len(counts), int(counts.max())
    kept = run_of(most, torch.zeros_like(counts), counts)
    length = 1 + _below(counts, generator)
    start = _below(counts - length + 1, generator)
    has_run = torch.rand(clips, generator=generator) < settings.run
    kept = torch.where(has_run[:, None], run_of(most, start, length), kept)
    size = 1 + _below(kept.sum(1), generator)
    places = torch.rand(clips, most, generator=generator).masked_fill(~kept, 2.0).argsort(1).argsort(1)
    has_subset = torch.rand(clips, generator=generator) < settings.subset
    return kept & (~has_subset[:, None] | (places < size[:, None]))


def _below(counts: Tensor, generator: Generator) -> Tensor:
    """A number from 0 to below each count, (clips,) int64."""
    return (torch.rand(len(counts), generator=generator, dtype=torch.float64) * counts).long()


def run_of(most: int, start: Tensor, length: Tensor) -> Tensor:
    """Neighbouring tiles, (clips, most) bool, by their first and how many they are."""
    place = torch.arange(most)
    return (place >= start[:, None]) & (place < (start + length)[:, None])


def apply(answers: Tensor, kept: Tensor) -> Tensor:
    """Mean of the answers (clips, tiles, answers) to the tiles that are heard, (clips, answers)."""
    shares = kept / kept.sum(1, keepdim=True)
    return torch.einsum("cta,ct->ca", answers, shares.to(answers.dtype))
