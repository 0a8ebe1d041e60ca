"""A row for each window, the labels that are heard in one column, nocall for none (2020, BirdCLEF 2021)."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from soundpost.contest.look import Look
from soundpost.contest.rows import Row
from soundpost.contest.settings import ContestSettings
from soundpost.contest.submission import RANKED, Sample, check_words

NOCALL = "nocall"


@dataclass(frozen=True)
class LabelListSample(Sample):
    """Rows that name the classes above a threshold; its columns are all classes that it may name."""

    answer_column: str = "birds"  # header of the one column
    threshold: float = 0.5  # a probability must be above it
    at_most: int = 0  # labels of a row; 0: any number
    nocall_below: float = 0.0  # nocall joins labels whose probabilities sum to less

    @property
    def header(self) -> tuple[str, ...]:
        """Both columns of the file."""
        return self.id_column, self.answer_column

    def cells(self, row: Sequence[float]) -> Iterable[str]:
        """Labels above the threshold, the likeliest first, equal ones by name."""
        chosen = sorted((-value, label) for value, label in zip(row, self.columns, strict=True) if label != NOCALL)
        above = [(value, label) for value, label in chosen if -value > self.threshold][: self.at_most or None]
        words = [label for _, label in above]
        if not words or (self.nocall_below and -sum(value for value, _ in above) < self.nocall_below):
            words.append(NOCALL)
        return [" ".join(words)]

    def fault(self, cells: Sequence[str]) -> str:
        """What is wrong with the cell behind an id; empty when nothing is."""
        words = cells[0].split() if len(cells) == 1 else []
        known = {*self.columns, NOCALL}
        if words and len(words) == len(set(words)) and set(words) <= known:
            return ""
        return f"{', '.join(cells)!r} is not a list of different known labels, or {NOCALL}"


class WindowLabels:
    """row_id,birds / 3575_COL_5,acafly amegfi."""

    has_windows: ClassVar[bool] = True

    @staticmethod
    def fits(look: Look, settings: ContestSettings) -> bool:
        """One column that holds words."""
        return len(look.columns) == 1 and look.columns != (RANKED,) and not all(map(_is_number, look.answers))

    @staticmethod
    def asked(look: Look) -> Collection[str] | None:
        """Nobody says: answers are words."""
        return None

    @staticmethod
    def sample(look: Look, settings: ContestSettings, rows: Sequence[Row], labels: Sequence[str]) -> Sample:
        """The labels that there are; a SubmissionError for one that could not be told from two."""
        check_words(labels, look.path)
        return LabelListSample(
            look.header[0],
            tuple(labels),
            tuple(row.row_id for row in rows),
            look.columns[0],
            settings.threshold,
            settings.at_most,
            settings.nocall_below,
        )


def _is_number(text: str) -> bool:
    """Whether a cell is a probability; nan and infinities are words."""
    try:
        return 0 <= float(text) <= 1
    except ValueError:
        return False
