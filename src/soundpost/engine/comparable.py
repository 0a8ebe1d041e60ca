"""Answers of windows on one scale, where time has ended before every member had answered every window.

A ranking of all rows of a column compares answers of one quick member with answers of five. So what some members alone
say is mapped, column by column, onto what all of them say, by the quantiles of the windows that have both. A window
that nobody has answered gets its column's mean, which is neither first nor last.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from soundpost.engine.predictions import Predictions
from soundpost.ensemble.blend import Blend
from soundpost.ensemble.columns import ColumnMap

LEAST_WINDOWS = 24  # least number of windows with both answers, to learn a map from
MOST_WINDOWS = 4000  # most windows to learn a map from
QUANTILES = 64


def comparable(
    values: np.ndarray,
    predictions: Predictions,
    blend: Blend,
    maps: Mapping[str, ColumnMap],
    priors: Sequence[float],
) -> np.ndarray:
    """The table with all windows on the scale of those that most members have answered.

    Args:
        values: (windows, columns), as blended of whatever members have answered each window.
        predictions: what all members have answered.
        blend: how members' answers become one.
        maps: classes -> columns, by recipe name.
        priors: (columns,).
    """
    done = predictions.done()
    patterns, pattern_of = np.unique(done.T, axis=0, return_inverse=True)
    pattern_of = pattern_of.reshape(-1)
    counts = np.bincount(pattern_of, minlength=len(patterns))
    fullest = _fullest(patterns, counts)
    answered = done.any(axis=0)
    if fullest is None or len(patterns) == 1:
        return values
    result = values.copy()
    both = np.flatnonzero(pattern_of == fullest)
    both = both[np.linspace(0, len(both) - 1, min(len(both), MOST_WINDOWS)).round().astype(np.intp)]
    for number, pattern in enumerate(patterns):
        shared = pattern & patterns[fullest]
        if number == fullest or not shared.any() or len(both) < LEAST_WINDOWS:
            continue
        rows = np.flatnonzero(pattern_of == number)
        few = predictions.blended(blend, maps, priors, both, of_members=shared)
        alone = predictions.blended(blend, maps, priors, rows, of_members=shared)
        result[rows] = quantile_mapped(alone, few, values[both])
    if answered.any():
        result[~answered] = result[answered].mean(axis=0)
    return np.asarray(np.clip(result, 0.0, 1.0))


def quantile_mapped(values: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Each column mapped so that quantiles of `before` become those of `after`; beyond the ends it is moved alike.

    Args:
        values: (rows, columns) to map.
        before: (windows, columns) on the scale of values.
        after: (windows, columns), the same windows on the other scale.
    """
    levels = np.linspace(0, 1, min(QUANTILES, len(before)))
    low, high = np.quantile(before, levels, axis=0), np.quantile(after, levels, axis=0)
    result = np.empty_like(values)
    for column in range(values.shape[1]):
        x, known, target = values[:, column], low[:, column], high[:, column]
        inside = np.interp(x, known, target)
        # Beyond both ends the distance to the end is kept, so that the order of rows is, too.
        result[:, column] = inside + np.minimum(x - known[0], 0) + np.maximum(x - known[-1], 0)
    return result


def _fullest(patterns: np.ndarray, counts: np.ndarray) -> int | None:
    """The pattern with the most members of those with enough windows, the commoner of equal ones."""
    sizes = patterns.sum(axis=1)
    usable = [i for i in range(len(patterns)) if sizes[i] and counts[i] >= LEAST_WINDOWS]
    usable = usable or [i for i in range(len(patterns)) if sizes[i]]
    return max(usable, key=lambda i: (sizes[i], counts[i]), default=None)
