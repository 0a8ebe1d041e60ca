"""The clips of every label that agree best with what was learnt."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from soundpost.training.measures import precision_of_clips
from soundpost.training.noisy.selection import Heard, Selection


@dataclass(frozen=True)
class BestOfEachLabelSettings:
    """How many, and how good at least."""

    each: int = 50  # clips of every label
    at_least: float = 0.33  # label-ranking average precision of a clip


class BestOfEachLabel:
    """A clip is kept if it is among the best of any of its labels, and good enough.

    Source: systems specification of simongrest.
    """

    Settings: ClassVar[type] = BestOfEachLabelSettings

    def __init__(self, settings: BestOfEachLabelSettings) -> None:
        self.settings = settings

    def __call__(self, truth: np.ndarray, answers: np.ndarray, heard: Heard | None = None) -> Selection:
        """Rows in the order of the table; among equal ones the first of the table is flagged."""
        rows = self.rows_by(truth, precision_of_clips(truth, answers))
        return Selection(rows, truth[rows].astype(np.float32))

    def rows_by(self, truth: np.ndarray, precision: np.ndarray) -> np.ndarray:
        """The rows by a score (clips,) that is known."""
        flagged = self.flagged(truth, precision)
        return np.flatnonzero(flagged & (precision >= self.settings.at_least))

    def flagged(self, truth: np.ndarray, precision: np.ndarray) -> np.ndarray:
        """Which clips are among the best of any of their labels, (clips,) bool."""
        flagged = np.zeros(len(truth), bool)
        for label in range(truth.shape[1]):
            rows = np.flatnonzero(truth[:, label])
            flagged[rows[np.argsort(-precision[rows], kind="stable")[: self.settings.each]]] = True
        return flagged
