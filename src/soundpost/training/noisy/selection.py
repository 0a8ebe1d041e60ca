"""What every rule for noisy clips gives: which of them are heard, and with which labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np


@dataclass(frozen=True)
class Selection:
    """Noisy clips that are heard."""

    rows: np.ndarray  # (kept,) int64, in the order of the table
    truth: np.ndarray  # (kept, classes) float32, the labels that they are given


Heard = tuple[np.ndarray, np.ndarray]


class NoisyRule(Protocol):
    """Chooses among noisy clips by what an earlier stage says of them."""

    Settings: ClassVar[type]

    def __call__(self, truth: np.ndarray, answers: np.ndarray, heard: Heard | None = None) -> Selection:
        """Noisy clips, by their labels and answers, (clips, classes) each.

        A member's answers are its own and heard are clips outside its fold: so it stays deaf to its fold.

        Args:
            truth: labels of the noisy clips.
            answers: probabilities of the noisy clips.
            heard: truth and answers of the curated clips that the member hears, for rules that look at its mistakes.
        """
        ...


@dataclass(frozen=True)
class AsGivenSettings:
    """Nothing is left to choose."""


class AsGiven:
    """Every clip with the labels it came with.

    Source: systems specification of qrfaction, whose first stage heard them all.

    No golden case: it is no choice.
    """

    Settings: ClassVar[type] = AsGivenSettings

    def __init__(self, settings: AsGivenSettings) -> None:
        self.settings = settings

    def __call__(self, truth: np.ndarray, answers: np.ndarray, heard: Heard | None = None) -> Selection:
        """All rows."""
        return Selection(np.arange(len(truth)), truth.astype(np.float32))


def label_sets(truth: np.ndarray, labels: Sequence[str]) -> list[list[str]]:
    """Names of the labels of each clip."""
    return [[labels[number] for number in np.flatnonzero(row).tolist()] for row in truth]
