"""Settings drawn at random, trial by trial, so that trial n is the same whoever makes it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Number = float | int


@dataclass(frozen=True)
class Uniform:
    """Evenly between two numbers, in whichever order they stand."""

    first: float
    last: float


@dataclass(frozen=True)
class Whole:
    """Whole numbers, both ends drawn."""

    least: int
    most: int


@dataclass(frozen=True)
class OneOf:
    """One of several."""

    values: Sequence[Number]


Range = Uniform | Whole | OneOf | float | int  # a number is itself

# Published searches; systems specification of argus.
ARGUS_SECOND_LEVEL: Mapping[str, Range] = {
    "base_size": OneOf((64, 128, 256, 512)),
    "reduction_scale": OneOf((2, 4, 8, 16)),
    "p_dropout": Uniform(0.0, 0.5),
    "lr": Uniform(1e-4, 1e-5),
    "patience": Whole(3, 11),
    "factor": Uniform(0.5, 0.8),
    "batch_size": OneOf((32, 64, 128)),
}
ARGUS_NETWORK: Mapping[str, Range] = {
    "p_dropout": Uniform(0.1, 0.3),
    "batch_size": 128,
    "lr": OneOf((1e-3, 6e-4, 3e-4)),
    "add_prob": Uniform(0.0, 1.0),
    "noisy_prob": Uniform(0.0, 1.0),
    "lsoft_beta": Uniform(0.2, 0.8),
    "noisy_weight": Uniform(0.3, 0.7),
    "patience": Whole(2, 9),
    "factor": Uniform(0.5, 0.8),
}


def trial(number: int, ranges: Mapping[str, Range]) -> dict[str, Number]:
    """Settings of one trial, drawn in the order of the keys by NumPy's legacy generator seeded with its number."""
    random = np.random.RandomState(number)
    return {key: _drawn(limits, random) for key, limits in ranges.items()}


def _drawn(limits: Range, random: np.random.RandomState) -> Number:
    if isinstance(limits, Uniform):
        return float(random.uniform(limits.first, limits.last))
    if isinstance(limits, Whole):
        return int(random.randint(limits.least, limits.most + 1))
    if isinstance(limits, OneOf):
        return limits.values[int(random.choice(len(limits.values)))]
    return limits
