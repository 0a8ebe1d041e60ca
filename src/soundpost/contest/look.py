"""What the files of a contest say before any recording is opened: the sample's cells, and the table of rows if any."""

from dataclasses import dataclass
from pathlib import Path

from soundpost.contest.cells import ADVICE, read_cells, refuse_twice
from soundpost.contest.rows import TableRow
from soundpost.errors import SubmissionError

STEM_COLUMNS = ("audio_id", "file_id", "filename", "file")  # what names the recording in a table of rows
END_COLUMNS = ("seconds", "end_time", "end")
LABEL_COLUMNS = ("bird", "label", "species")


@dataclass(frozen=True)
class Look:
    """A sample submission as text, cell by cell; nothing in it is taken for a number, a date or a missing value."""

    path: Path
    header: tuple[str, ...]
    names: tuple[str, ...]  # first cell of each row
    answers: tuple[str, ...]  # second cell of each row, which tells the shape of two-column samples
    table: tuple[TableRow, ...] | None  # the contest's own rows, where it has a table of them

    @property
    def columns(self) -> tuple[str, ...]:
        """Headers behind the first one."""
        return self.header[1:]

    @property
    def asks_for_labels(self) -> bool:
        """Whether the table asks for one class in each row."""
        return bool(self.table) and all(row.label for row in self.table or ())


def look_at(path: Path, table_path: Path | None = None) -> Look:
    """Read a sample submission, and the table of rows beside it.

    Args:
        path: sample_submission.csv.
        table_path: test.csv; None or a file that is not there: the contest has no such table.

    Raises:
        SubmissionError: not a table, no column beside the first, a column or row twice.
    """
    rows = read_cells(path)
    if not rows or len(rows[0]) < 2:
        raise SubmissionError(f"{path}: no header with a name and at least one column. {ADVICE}")
    header, body = rows[0], rows[1:]
    names = [row[0] for row in body]
    refuse_twice(path, header, names)
    table = read_table(table_path) if table_path is not None and table_path.is_file() else None
    return Look(path, tuple(header), tuple(names), tuple(row[1] if len(row) > 1 else "" for row in body), table)


def read_table(path: Path) -> tuple[TableRow, ...] | None:
    """The rows that a contest's test.csv names; None for a table that has no row ids, or does not name recordings."""
    cells = read_cells(path)
    if not cells or "row_id" not in cells[0]:
        return None
    place = {name: number for number, name in enumerate(cells[0])}
    stem = next((place[name] for name in STEM_COLUMNS if name in place), None)
    end = next((place[name] for name in END_COLUMNS if name in place), None)
    label = next((place[name] for name in LABEL_COLUMNS if name in place), None)
    if stem is None or end is None:
        return None
    return tuple(
        TableRow(
            row[place["row_id"]],
            row[stem],
            row[place["site"]] if "site" in place else "",
            _seconds(row[end], path),
            row[label] if label is not None else "",
        )
        for row in cells[1:]
        if len(row) == len(cells[0])
    )


def _seconds(text: str, path: Path) -> float | None:
    """5, 5.0 -> 5.0; an empty cell is a whole recording."""
    if not text.strip():
        return None
    try:
        return float(text)
    except ValueError as error:
        raise SubmissionError(f"{path}: {text!r} is no number of seconds. Give the contest's own file.") from error
