"""Rows, columns and clips of a run, and how rows that are windows lie in the recordings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from soundpost.contest.clips import Clip
from soundpost.contest.layout import Layout, Stretch
from soundpost.contest.submission import Sample
from soundpost.ensemble.columns import ColumnMap


@dataclass(frozen=True)
class ContestWindows:
    """Where rows are windows: how they lie in the recordings."""

    row_seconds: float  # s, the length of a window
    layout: Layout
    stretches: Sequence[Stretch]  # those of the layout, one for each clip; some are left out where clips are chosen
    sentence: str  # where the rows come from, for the log


@dataclass(frozen=True)
class Contest:
    """Rows, columns and clips."""

    sample: Sample
    maps: Mapping[str, ColumnMap]  # classes -> columns, by recipe name
    priors: Sequence[float]  # (columns,)
    clips: Sequence[Clip]  # what is worked on: every row, or every stretch of a recording whose windows are rows
    n_files: int  # clips that have a file, before some of them were chosen
    windows: ContestWindows | None = None  # None: every clip is one row

    @property
    def n_answers(self) -> int:
        """How many answers each pass gives: one for each clip, or one for each window."""
        return self.windows.layout.n_answers if self.windows else len(self.clips)

    def answer_name(self, answer: int) -> str:
        """What an answer is called in the report: its clip, and where in it a window ends."""
        if self.windows is None:
            return self.clips[answer].name
        for stretch in self.windows.stretches:
            if answer in stretch.answers:
                end = (stretch.first + stretch.answers.index(answer) + 1) * self.windows.row_seconds
                return f"{stretch.name} until {end:g} s"
        return f"window {answer}"

    def answers_of(self, clip: int) -> Sequence[int]:
        """The numbers of a clip's answers, in the order of its rows."""
        return self.windows.stretches[clip].answers if self.windows else (clip,)

    def of_clips(self, answered: np.ndarray) -> np.ndarray:
        """(answers,) bool -> (clips,) bool: whether all of a clip's answers are true."""
        if self.windows is None:
            return answered
        return np.array([answered[list(stretch.answers)].all() for stretch in self.windows.stretches], bool)
