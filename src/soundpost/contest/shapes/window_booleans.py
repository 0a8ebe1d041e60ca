"""A row for each recording, class and window, True or False (BirdCLEF 2022)."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from soundpost.contest.look import Look
from soundpost.contest.rows import Row
from soundpost.contest.settings import ContestSettings
from soundpost.contest.submission import Sample
from soundpost.errors import SubmissionError

WORDS = ("True", "False")


@dataclass(frozen=True)
class BooleanSample(Sample):
    """Lines that ask for one class of one window; its rows are the windows, each answered once for all classes."""

    answer_column: str = "target"  # header of the one column
    threshold: float = 0.5  # a probability must be above it
    asked: tuple[tuple[str, int, int], ...] = ()  # for each line: its id, its row, its column (-1: no such class)

    @property
    def header(self) -> tuple[str, ...]:
        """Both columns of the file."""
        return self.id_column, self.answer_column

    @property
    def line_names(self) -> tuple[str, ...]:
        """First cells of all lines."""
        return tuple(line for line, _, _ in self.asked)

    def lines(self, rows: Iterable[Sequence[float]]) -> Iterable[list[str]]:
        """One line for each class that is asked for; rows are all kept, as lines may ask in any order."""
        table = list(rows)
        for line, row, column in self.asked:
            yield [line, str(column >= 0 and table[row][column] > self.threshold)]

    def fault(self, cells: Sequence[str]) -> str:
        """What is wrong with the cell behind an id; empty when nothing is."""
        return "" if len(cells) == 1 and cells[0] in WORDS else f"{', '.join(cells)!r} is neither True nor False"


class WindowBooleans:
    """row_id,target / soundscape_9_akiapo_5,False, with a table that says recording, class and end of each row."""

    has_windows: ClassVar[bool] = True

    @staticmethod
    def fits(look: Look, settings: ContestSettings) -> bool:
        """One column of True and False, or a table that asks for one class in each row."""
        one = len(look.columns) == 1
        return one and (look.asks_for_labels or (bool(look.answers) and set(look.answers) <= set(WORDS)))

    @staticmethod
    def asked(look: Look) -> Collection[str]:
        """Those that the rows of its table ask for."""
        return {row.label for row in look.table or ()}

    @staticmethod
    def sample(look: Look, settings: ContestSettings, rows: Sequence[Row], labels: Sequence[str]) -> Sample:
        """Lines as they were found; a SubmissionError without a table, as row ids alone do not tell class from file."""
        if rows and not all(row.label for row in rows):
            raise SubmissionError(
                f"{look.path} asks for True or False, and no table says which class each row asks for. "
                f"Put the contest's {settings.table} beside it, or name the table in [contest] of submission.toml."
            )
        columns = tuple(dict.fromkeys(row.label for row in rows))
        place = {label: number for number, label in enumerate(columns)}
        windows: dict[tuple[str, float | None], int] = {}
        asked = []
        for row in rows:
            key = window_key(row)
            asked.append((row.row_id, windows.setdefault(key, len(windows)), place[row.label]))
        names = tuple(f"{stem}_{end:g}" if end is not None else stem for stem, end in windows)
        return BooleanSample(look.header[0], columns, names, look.columns[0], settings.threshold, tuple(asked))


def window_key(row: Row) -> tuple[str, float | None]:
    """What rows that ask about one window have in common."""
    return row.file or row.row_id.replace(f"_{row.label}_", "_"), row.end
