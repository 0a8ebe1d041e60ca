"""Learning rates that published systems trained with, as functions of how far training has come."""

from math import cos, pi


def cosine_wave(epoch: int, peak: float, floor: float, half_period: int) -> float:
    """Falls along a cosine from peak to floor in half_period epochs, and rises again in as many; ERC2019's schedule."""
    return floor + (peak - floor) * (1 + cos(pi * epoch / half_period)) / 2
