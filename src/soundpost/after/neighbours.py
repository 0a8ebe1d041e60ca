"""Steps that mix a row with the rows before and after it in its recording.

Sources are named in each step by the contest's year; all work on (rows, columns) of one recording in the order of time.
"""

from collections.abc import Sequence

import numpy as np

from soundpost.after.table import Table, for_each_recording
from soundpost.errors import SettingsError


def delta(table: Table, alpha: float = 0.15) -> np.ndarray:
    """(1 - alpha) of the row and alpha / 2 of each neighbour; the row beyond an end is the end itself (2026)."""

    def step(x: np.ndarray) -> np.ndarray:
        before, after = _neighbours(x)
        return (1 - alpha) * x + alpha / 2 * (before + after)

    return for_each_recording(table, step)


def adaptive_delta(table: Table, base: float = 0.2, ends: str = "own") -> np.ndarray:
    """delta with alpha = base * (1 - the row's largest value), so that sure rows stay (2026).

    Args:
        table: all rows.
        base: alpha of a row that is sure of nothing.
        ends: "own": the neighbour beyond an end is the end itself; "untouched": first and last rows stay.
    """
    if ends not in ("own", "untouched"):
        raise SettingsError(f"[[after]] adaptive_delta ends = '{ends}'; known: own, untouched. Correct it.")

    def step(x: np.ndarray) -> np.ndarray:
        alpha = base * (1 - x.max(axis=1, keepdims=True))
        before, after = _neighbours(x)
        mixed = (1 - alpha) * x + alpha / 2 * (before + after)
        if ends == "untouched":
            mixed[0], mixed[-1] = x[0], x[-1]
        return mixed

    return for_each_recording(table, step)


def kernel(table: Table, weights: Sequence[float] = (0.2, 0.6, 0.2)) -> np.ndarray:
    """A centred weighted sum over rows in time, the ends repeated."""
    return for_each_recording(table, lambda x: weighted(x, weights))


def kernel_and_mean(
    table: Table, weights: Sequence[float] = (0.1, 0.2, 0.4, 0.2, 0.1), keep: float = 0.8
) -> np.ndarray:
    """The kernel's sum, of which 1 - keep gives way to the mean of the recording's smoothed rows (2025)."""

    def step(x: np.ndarray) -> np.ndarray:
        smooth = weighted(x, weights)
        return keep * smooth + (1 - keep) * smooth.mean(axis=0, keepdims=True)

    return for_each_recording(table, step)


def gaussian(table: Table, sigma: float = 0.65, truncate: float = 4.0) -> np.ndarray:
    """A normalised Gaussian over rows, radius int(truncate * sigma + 0.5), the ends repeated (2026)."""
    radius = int(truncate * sigma + 0.5)
    return for_each_recording(table, lambda x: weighted(x, _bell(sigma, radius)))


def gaussian_renormalised(table: Table, sigma: float = 0.5) -> np.ndarray:
    """A Gaussian of radius max(1, ceil(3 sigma)); rows beyond the ends are left out, the others' weights sum to 1."""
    radius = max(1, int(np.ceil(3 * sigma)))
    bell = _bell(sigma, radius)

    def step(x: np.ndarray) -> np.ndarray:
        padded = np.pad(x, ((radius, radius), (0, 0)))
        there = np.pad(np.ones(len(x)), radius)
        sums = np.sum([w * padded[i : i + len(x)] for i, w in enumerate(bell)], axis=0)
        return sums / np.sum([w * there[i : i + len(x)] for i, w in enumerate(bell)], axis=0)[:, None]

    return for_each_recording(table, step)


def neighbour_sum(table: Table, factor: float = 0.5) -> np.ndarray:
    """The row and factor times each neighbour, nothing beyond the ends; sums may exceed 1 (2024)."""

    def step(x: np.ndarray) -> np.ndarray:
        result = x.copy()
        result[1:] += factor * x[:-1]
        result[:-1] += factor * x[1:]
        return result

    return for_each_recording(table, step)


def power_kernel_leak(
    table: Table,
    power: float = 1.5,
    weights: Sequence[float] = (0.05, 0.15, 0.6, 0.15, 0.05),
    leak: float = 0.05,
) -> np.ndarray:
    """A kernel over powers of the rows, and a little of the recording's maximum, clipped to [0, 1] (2026).

    Recordings of no more rows than the kernel has neighbours are not smoothed; the maximum leaks into them, too.
    """

    def step(x: np.ndarray) -> np.ndarray:
        smooth = weighted(x**power, weights) ** (1 / power) if len(x) > len(weights) - 1 else x
        return np.clip(smooth + leak * smooth.max(axis=0, keepdims=True), 0.0, 1.0)

    return for_each_recording(table, step)


def weighted(x: np.ndarray, weights: Sequence[float]) -> np.ndarray:
    """(rows, columns) -> the centred weighted sum over rows, the ends repeated.

    Raises:
        SettingsError: an even number of weights, which has no centre.
    """
    if len(weights) % 2 == 0:
        raise SettingsError(f"[[after]] weights = {list(weights)} have no centre. Give an odd number of weights.")
    radius = len(weights) // 2
    padded = np.pad(x, ((radius, radius), (0, 0)), mode="edge")
    return np.sum([w * padded[i : i + len(x)] for i, w in enumerate(weights)], axis=0)


def _bell(sigma: float, radius: int) -> list[float]:
    bell = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return list(bell / bell.sum())


def _neighbours(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows before and the rows after, the ends repeated."""
    return np.concatenate([x[:1], x[:-1]]), np.concatenate([x[1:], x[-1:]])
