"""Which members make the best blend: every combination is tried."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from soundpost.ensemble.rules import geometric_mean
from soundpost.evaluation.metrics import lwlrap


@dataclass(frozen=True)
class Choice:
    """A subset of tables and what its blend scores."""

    subset: tuple[int, ...]
    score: float


def every_choice(truth: np.ndarray, tables: Sequence[np.ndarray], at_most: int | None = None) -> list[Choice]:
    """Geometric means of every non-empty subset, scored by lwlrap; by size, then as itertools.combinations orders them.

    Args:
        truth: (clips, classes).
        tables: out-of-fold probabilities, (clips, classes) each.
        at_most: tables in a subset.
    """
    found = []
    for size in range(1, (at_most or len(tables)) + 1):
        equal = np.full((size, len(truth)), 1 / size)
        for subset in combinations(range(len(tables)), size):
            blend = geometric_mean([tables[number] for number in subset], equal)
            found.append(Choice(subset, lwlrap(truth, blend)))
    return found


def best(choices: Sequence[Choice]) -> Choice:
    """The highest score; among equal ones the first, which is the smallest."""
    return max(choices, key=lambda choice: choice.score)
