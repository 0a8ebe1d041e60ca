"""The table that steps work on: rows of windows, which recording each row is of, and what the blended members said."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from soundpost.errors import SettingsError, ShapeError


@dataclass(frozen=True)
class Table:
    """Probabilities of every row of a submission, with what steps may ask about rows and columns."""

    values: np.ndarray  # (rows, columns) float
    recordings: tuple[np.ndarray, ...] = ()  # for each recording, its rows (rows of it,) in the order of time
    names: tuple[str, ...] = ()  # file names of the recordings, in the same order
    columns: tuple[str, ...] = ()  # class names
    inputs: Mapping[str, np.ndarray] = field(default_factory=dict)  # recipe -> its own (rows, columns) before the blend

    def __post_init__(self) -> None:
        if self.values.ndim != 2:
            raise ShapeError(f"a table of shape {self.values.shape}. Give (rows, columns).")
        rows = np.concatenate(self.recordings) if self.recordings else np.arange(0)
        if len(np.unique(rows)) != len(rows) or (len(rows) and not 0 <= rows.min() <= rows.max() < len(self.values)):
            raise ShapeError(f"recordings name rows twice, or beyond the {len(self.values)} rows. Give each row once.")

    def with_values(self, values: np.ndarray) -> "Table":
        """The same rows and columns with other numbers."""
        return replace(self, values=values)

    def input(self, name: str) -> np.ndarray:
        """What one recipe said before the blend, (rows, columns).

        Raises:
            SettingsError: no such recipe; the message lists those that there are.
        """
        if name not in self.inputs:
            known = ", ".join(sorted(self.inputs)) or "none"
            raise SettingsError(f"[[after]] asks for recipe '{name}'; known: {known}. Correct it in submission.toml.")
        return self.inputs[name]


def of_recordings(n_recordings: int, rows: int) -> tuple[np.ndarray, ...]:
    """The rows of recordings that follow one another and have equally many: recordings for a Table."""
    return tuple(np.arange(i * rows, (i + 1) * rows) for i in range(n_recordings))


def for_each_recording(table: Table, step: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Apply a step (rows, columns) -> (rows, columns) to the rows of each recording, in the order of time.

    Rows that belong to no recording stay as they are.
    """
    result = np.array(table.values, dtype=np.float64)
    for rows in table.recordings:
        if len(rows):
            result[rows] = step(result[rows])
    return result
