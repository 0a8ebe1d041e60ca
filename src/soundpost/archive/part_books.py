"""What the engine writes down about the rows of one part, in the places of what it writes down about a contest."""

from collections import defaultdict

import numpy as np

from soundpost.engine.live_submission import LiveSubmission
from soundpost.engine.predictions import Predictions
from soundpost.engine.report import Report
from soundpost.ensemble.blend import Blend


class NoSubmission(LiveSubmission):
    """Stands where a run has its submission: it knows the blend, and neither writes nor waits for a writer."""

    def __init__(self, blend: Blend) -> None:
        self.blend = blend

    @property
    def is_due(self) -> bool:
        """It never is."""
        return False

    def renew(self) -> None:
        """There is nothing to write."""


class PartReport(Report):
    """A report that knows which row was mended."""

    def __init__(self, n_clips: int) -> None:
        super().__init__(n_clips)
        self.mended: defaultdict[int, dict[str, None]] = defaultdict(dict)  # row -> sentences, in order

    def decoded(self, clip: int, remarks: tuple[str, ...], silent: str, second_reader: str) -> None:
        """Take down what a worker had to say about a row; ffmpeg's help counts as mending."""
        super().decoded(clip, remarks, silent, second_reader)
        self.mended[clip] |= dict.fromkeys([*remarks, *([second_reader] if second_reader else [])])


class Vectors(Predictions):
    """Stands where a pass leaves its answers, and keeps them as they are: one embedding for each row."""

    def __init__(self, member: str, n_clips: int) -> None:
        self.n_clips = n_clips
        self._member_name = member
        self.found: list[np.ndarray | None] = [None] * n_clips  # (features,) each

    def name(self, member: int) -> str:
        """The one member's name, whichever number it has."""
        return self._member_name

    def seen(self, member: int, view: int) -> np.ndarray:
        """Which rows have their embedding: (rows,) bool."""
        return np.array([vector is not None for vector in self.found], bool)

    def add(self, member: int, view: int, clip: int, answer: np.ndarray) -> None:
        """One row's embedding, averaged over its windows."""
        self.found[clip] = np.array(answer, np.float32)

    def answered(self) -> np.ndarray:
        """Which rows have their embedding: (rows,) bool."""
        return self.seen(0, 0)

    def total(self) -> int:
        """How many embeddings there are."""
        return int(self.answered().sum())
