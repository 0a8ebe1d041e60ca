"""What every rule for folds is."""

from collections.abc import Sequence
from typing import ClassVar, Protocol

import numpy as np


class FoldRule(Protocol):
    """Clips -> the name of the fold of each; a fold's member hears every other fold."""

    Settings: ClassVar[type]

    def __call__(self, files: Sequence[str], truth: np.ndarray, column: Sequence[str]) -> tuple[str, ...]:
        """One fold a clip; "" belongs to no fold and is heard by every member.

        Args:
            files: names.
            truth: (clips, classes).
            column: what the csv says, empty if it has no such column.
        """
        ...


def named(rows_of_folds: Sequence[np.ndarray], clips: int) -> tuple[str, ...]:
    """Folds named 0, 1, ... from the rows that each holds out."""
    folds = [""] * clips
    for number, rows in enumerate(rows_of_folds):
        for row in rows.tolist():
            folds[row] = str(number)
    return tuple(folds)
