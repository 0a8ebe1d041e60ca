"""The one-cycle schedule: the learning rate goes up and further down again while the momentum does the opposite.

Source: Smith 2018; the forms of fastai v1 (simongrest, filipmu) and fastai2 (high-resolution spectrograms).
"""

from dataclasses import dataclass
from math import cos, pi


@dataclass(frozen=True)
class OneCycle:
    """Where the cycle turns and what it reaches; the defaults are those of fastai v1."""

    rise: float = 0.3  # the share of all batches until the peak
    start_divisor: float = 25.0  # the first learning rate is the peak over this
    end_divisor: float = 250_000.0  # the last is the peak over this; 100,000 in fastai2
    momentum: tuple[float, float] = (0.95, 0.85)  # at both ends, at the peak; the first beta of Adam
    whole_batches: bool = True  # v1: the turn is at a whole batch and the last batch comes one step before the end


FASTAI_V1 = OneCycle()
FASTAI_2 = OneCycle(rise=0.25, end_divisor=100_000.0, whole_batches=False)


def rate_and_momentum(cycle: OneCycle, peak: float, batch: int, batches: int) -> tuple[float, float]:
    """Learning rate and momentum of one batch.

    Args:
        cycle: its shape.
        peak: largest learning rate, of this group of parameters.
        batch: which one, from 0.
        batches: those of the whole training.
    """
    turn = int(cycle.rise * batches) if cycle.whole_batches else cycle.rise * batches
    first, last = peak / cycle.start_divisor, peak / cycle.end_divisor
    outer, inner = cycle.momentum
    if batch < turn:
        done = batch / turn
        return _cosine(first, peak, done), _cosine(outer, inner, done)
    done = (batch - turn) / (batches - turn)
    return _cosine(peak, last, done), _cosine(inner, outer, done)


def _cosine(start: float, end: float, done: float) -> float:
    return end + (start - end) / 2 * (cos(pi * done) + 1)
