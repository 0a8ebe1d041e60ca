"""Random numbers of one row a clip, from a generator on the processor, so that every device sees the same."""

import numpy as np
import torch
from torch import Generator, Tensor


def uniform(count: int, low: float, high: float, generator: Generator) -> Tensor:
    """(count,) float64, evenly in [low, high)."""
    return low + (high - low) * torch.rand(count, generator=generator, dtype=torch.float64)


def chance(count: int, probability: float, generator: Generator) -> Tensor:
    """(count,) bool, each true with that probability."""
    return torch.rand(count, generator=generator, dtype=torch.float64) < probability


def below(limits: Tensor, generator: Generator) -> Tensor:
    """Whole numbers, evenly from 0 up to and without each limit; 0 where a limit is 0 or less. (count,) int64."""
    drawn = torch.rand(len(limits), generator=generator, dtype=torch.float64)
    return torch.minimum((drawn * limits).long(), limits - 1).clamp(min=0)


def integers(count: int, least: int, most: int, generator: Generator) -> Tensor:
    """(count,) int64, evenly from least to most, both drawn."""
    return torch.randint(least, most + 1, (count,), generator=generator)


def beta(count: int, parameter: float, generator: Generator) -> Tensor:
    """(count,) float64 from Beta(parameter, parameter); NumPy draws them, seeded by the generator."""
    seed = int(torch.randint(2**62, (), generator=generator))
    return torch.from_numpy(np.random.default_rng(seed).beta(parameter, parameter, count))
