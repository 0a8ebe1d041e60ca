"""Steps that look at each column alone, or at the order of the columns over the whole table."""

from collections.abc import Mapping, Sequence

import numpy as np

from soundpost.after.table import Table
from soundpost.errors import SettingsError

SMALLEST = 1e-6

PerColumn = float | Sequence[float] | Mapping[str, float]


def per_column(table: Table, value: PerColumn, name: str, default: float) -> np.ndarray:
    """A setting for each column, (columns,): one number for all, a list in their order, or a table by class name.

    Raises:
        SettingsError: a list of another length, or a table that names a class which is no column.
    """
    n_columns = table.values.shape[1]
    if isinstance(value, Mapping):
        unknown = sorted(set(value) - set(table.columns))
        if unknown:
            raise SettingsError(f"[[after]] {name} names {unknown[0]!r}, which is no column. Correct submission.toml.")
        return np.array([float(value.get(column, default)) for column in table.columns])
    if isinstance(value, int | float):
        return np.full(n_columns, float(value))
    if len(value) != n_columns:
        raise SettingsError(f"[[after]] {name} has {len(value)} numbers for {n_columns} columns. Give one for each.")
    return np.asarray(value, dtype=np.float64)


def power_below_rank(table: Table, k: int = 30, exponent: float = 2.0) -> np.ndarray:
    """Columns whose largest value over all rows is not among the k largest are raised to a power (2026).

    It changes no column's own order, but what later steps and means see.
    """
    order = np.argsort(-table.values.max(axis=0, initial=0.0), kind="stable")
    result = np.array(table.values, dtype=np.float64)
    result[:, order[k:]] **= exponent
    return result


def temperature(table: Table, temperatures: PerColumn) -> np.ndarray:
    """The sigmoid of the logits divided by a temperature for each column; it changes no column's order (2026)."""
    clipped = np.clip(table.values.astype(np.float64), SMALLEST, 1 - SMALLEST)
    logits = np.log(clipped) - np.log1p(-clipped)
    return 1 / (1 + np.exp(-logits / per_column(table, temperatures, "temperatures", 1.0)))


def threshold_stretch(table: Table, thresholds: PerColumn) -> np.ndarray:
    """Each column stretched on both sides of its threshold so that the threshold becomes 0.5 (2026)."""
    x, cut = table.values.astype(np.float64), per_column(table, thresholds, "thresholds", 0.5)
    above = 0.5 + 0.5 * (x - cut) / (1 - cut + 1e-8)
    return np.clip(np.where(x > cut, above, 0.5 * x / (cut + 1e-8)), 0.0, 1.0)


def clip(table: Table, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """Every value kept between low and high."""
    return np.clip(table.values, low, high)
