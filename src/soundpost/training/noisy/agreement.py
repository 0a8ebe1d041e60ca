"""Noisy clips that agree with what was learnt: the best by rank, or relabelled by a threshold.

Source: systems specification of ex4sperans.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from soundpost.errors import SettingsError
from soundpost.training.measures import precision_of_clips
from soundpost.training.noisy.selection import Heard, Selection

STEPS = 10_000  # thresholds from 0 to 1 that are tried
MODES = ("fullmatch", "relabelall", "merge")


@dataclass(frozen=True)
class AgreementSettings:
    """How many."""

    count: int = 1000  # clips that are kept


class Agreement:
    """The clips whose labels the answers rank best, with these labels ("scoring_K")."""

    Settings: ClassVar[type] = AgreementSettings

    def __init__(self, settings: AgreementSettings) -> None:
        self.settings = settings

    def __call__(self, truth: np.ndarray, answers: np.ndarray, heard: Heard | None = None) -> Selection:
        """Count rows, in the order of the table; among equal ones the first of the table."""
        best = np.argsort(-precision_of_clips(truth, answers), kind="stable")[: self.settings.count]
        rows = np.sort(best)
        return Selection(rows, truth[rows].astype(np.float32))


@dataclass(frozen=True)
class RelabelSettings:
    """Which way, and how many labels a clip should have."""

    mode: str = "relabelall"  # or "fullmatch": kept where both agree; or "merge": both together
    labels_per_clip: float = 1.2


class Relabel:
    """Clips with the classes whose answers pass a threshold that gives so many of them a clip."""

    Settings: ClassVar[type] = RelabelSettings

    def __init__(self, settings: RelabelSettings) -> None:
        if settings.mode not in MODES:
            raise SettingsError(f"relabel: mode '{settings.mode}'; known: {', '.join(MODES)}. Correct it.")
        self.settings = settings

    def __call__(self, truth: np.ndarray, answers: np.ndarray, heard: Heard | None = None) -> Selection:
        """Rows in the order of the table."""
        given = truth > 0
        found = answers > threshold_for(answers, self.settings.labels_per_clip)
        if self.settings.mode == "fullmatch":
            kept, labels = (found == given).all(1), given
        elif self.settings.mode == "merge":
            kept, labels = np.ones(len(given), bool), found | given
        else:
            kept, labels = found.any(1), found
        rows = np.flatnonzero(kept)
        return Selection(rows, labels[rows].astype(np.float32))


def threshold_for(answers: np.ndarray, labels_per_clip: float) -> float:
    """The first of evenly spaced thresholds above which the mean clip has nearest to so many classes.

    Args:
        answers: (clips, classes).
        labels_per_clip: wanted.
    """
    thresholds = np.linspace(0, 1, STEPS)
    ordered = np.sort(answers, axis=None)
    above = ordered.size - np.searchsorted(ordered, thresholds, side="right")
    return float(thresholds[np.abs(above / len(answers) - labels_per_clip).argmin()])
