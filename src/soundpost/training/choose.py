"""Which members make the best blend: every combination is tried."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np

from soundpost.errors import SettingsError

MOST_COMBINATIONS = 200_000  # beyond which nobody wants to wait


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

    Raises:
        SettingsError: too many combinations.
    """
    return [Choice(subset, float(found.mean())) for subset, found in _precisions(truth, tables, at_most)]


def best(choices: Sequence[Choice]) -> Choice:
    """The highest score; among equal ones the first, which is the smallest."""
    return max(choices, key=lambda choice: choice.score)


def nested_score(
    truth: np.ndarray, tables: Sequence[np.ndarray], folds: Sequence[str], at_most: int | None = None
) -> float:
    """What choosing is worth: lwlrap of clips answered by the subset that is best on the other folds.

    Args:
        truth: as every_choice's.
        tables: as every_choice's.
        folds: name for each clip, two different ones at least.
        at_most: as every_choice's.
    """
    rows = np.nonzero(np.asarray(truth))[0].tolist()
    names = sorted(set(folds))
    own = np.array([[folds[row] == name for row in rows] for name in names])
    best_elsewhere, within = np.full(len(names), -np.inf), np.zeros(len(names))
    for _, found in _precisions(truth, tables, at_most):
        sums = own @ found
        elsewhere = (found.sum() - sums) / np.maximum(len(rows) - own.sum(1), 1)
        better = elsewhere > best_elsewhere
        best_elsewhere[better], within[better] = elsewhere[better], sums[better]
    return float(within.sum() / len(rows))


def _precisions(
    truth: np.ndarray, tables: Sequence[np.ndarray], at_most: int | None
) -> Iterator[tuple[tuple[int, ...], np.ndarray]]:
    """Every subset, and the precision at each label of each clip, whose mean is lwlrap.

    A class ranks by the sum of its logarithms as it does by the geometric mean, so that nothing but sums is left to do
    for each subset.
    """
    sizes = range(1, min(at_most or len(tables), len(tables)) + 1)
    if (count := sum(comb(len(tables), size) for size in sizes)) > MOST_COMBINATIONS:
        raise SettingsError(
            f"{len(tables)} recipes have {count:,} combinations, more than {MOST_COMBINATIONS:,}. Leave recipes "
            "out, or give --at-most."
        )
    positive = np.asarray(truth) != 0
    rows, columns = np.nonzero(positive)
    others = positive[rows]
    with np.errstate(divide="ignore"):
        logs = [np.log(np.asarray(table, np.float64))[rows] for table in tables]
    for size in sizes:
        for subset in combinations(range(len(tables)), size):
            total = sum((logs[number] for number in subset[1:]), logs[subset[0]])
            above = total >= total[np.arange(len(rows)), columns][:, None]
            yield subset, (above & others).sum(1) / above.sum(1)
