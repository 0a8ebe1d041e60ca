"""Noisy clips of the classes that are confused."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from soundpost.training.noisy.selection import Heard, Selection


@dataclass(frozen=True)
class PoorClassesSettings:
    """How many confusions are looked at, and which."""

    take: int = 20  # misclassified clips
    worst_first: bool = False  # as described: those of the largest loss; as it ran: the first of the table


class PoorClasses:
    """Every noisy clip with exactly one label, if that label is a poor one.

    Source: systems specification of filipmu.
    """

    Settings: ClassVar[type] = PoorClassesSettings

    def __init__(self, settings: PoorClassesSettings) -> None:
        self.settings = settings

    def __call__(self, truth: np.ndarray, answers: np.ndarray, heard: Heard | None = None) -> Selection:
        """Rows in the order of the table; classes are poor by the mistakes on the curated clips that are heard.

        The published run looked at its validation clips, which would let a member learn of the fold it is scored on.
        """
        rows = self.rows_of(truth, self.classes(*(heard or (truth, answers))))
        return Selection(rows, truth[rows].astype(np.float32))

    def confused(self, truth: np.ndarray, logits: np.ndarray) -> np.ndarray:
        """Rows whose greatest logit is of a class that they have not, as many as are looked at."""
        guess = logits.argmax(1)
        rows = np.flatnonzero(truth[np.arange(len(truth)), guess] == 0)
        if self.settings.worst_first:
            # The loss at the guessed class grows with its logit.
            rows = rows[np.argsort(-logits[rows, guess[rows]], kind="stable")]
        return rows[: self.settings.take]

    def classes(self, truth: np.ndarray, logits: np.ndarray) -> np.ndarray:
        """Labels and guesses of the confused clips, (classes,) int64, sorted."""
        rows = self.confused(truth, logits)
        return np.union1d(np.flatnonzero(truth[rows].any(0)), logits[rows].argmax(1))

    def rows_of(self, truth: np.ndarray, poor: np.ndarray) -> np.ndarray:
        """Noisy clips (clips, classes) with one label, which is poor; rows in the order of the table."""
        has = truth > 0
        return np.flatnonzero((has.sum(1) == 1) & (has[:, poor].sum(1) == 1))
