"""A csv as text, cell by cell; nothing in it is taken for a number, a date or a missing value."""

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from soundpost.errors import SubmissionError

ADVICE = "Give the contest's sample_submission.csv."


def read_cells(path: Path) -> list[list[str]]:
    """All rows of a csv that are not empty, as text.

    Raises:
        SubmissionError: it cannot be read as a table.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SubmissionError(f"{path}: cannot be read ({error}). {ADVICE}") from error


def refuse_twice(path: Path, header: Sequence[str], names: Sequence[str]) -> None:
    """Raise SubmissionError where a column or a row stands twice."""
    for what, values in (("column", header), ("row", names)):
        if len(set(values)) != len(values):
            twice = Counter(values).most_common(1)[0][0]
            raise SubmissionError(f"{path}: {what} {twice!r} stands twice. Give the contest's own file.")
