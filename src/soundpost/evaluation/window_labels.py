"""Labelled windows of recordings (train_soundscapes_labels.csv): which classes are heard between two times."""

from pathlib import Path

from soundpost.contest.cells import read_cells
from soundpost.contest.grammar import Grammar
from soundpost.errors import SubmissionError

COLUMNS = ("filename", "end", "primary_label")
SEPARATOR = ";"  # between labels of one window


def read_window_labels(path: Path, grammar: Grammar | None = None) -> dict[str, tuple[str, ...]]:
    """Row id -> labels, as text; a window that stands twice counts once.

    Args:
        path: a csv with filename, end (5 or 00:00:05) and primary_label (22961;23158).
        grammar: how row ids are written; stem_end where none is given.

    Raises:
        SubmissionError: a column is missing, or a time is not understood.
    """
    grammar = grammar or Grammar()
    cells = read_cells(path)
    header = cells[0] if cells else []
    missing = [name for name in COLUMNS if name not in header]
    if missing:
        raise SubmissionError(f"{path}: no column {', '.join(missing)} in {header}. Give a csv with {COLUMNS}.")
    place = {name: header.index(name) for name in COLUMNS}
    found: dict[str, dict[str, None]] = {}
    for row in cells[1:]:
        stem = Path(row[place["filename"]]).stem
        row_id = grammar.row_id(stem, _seconds(row[place["end"]], path))
        labels = [label for label in row[place["primary_label"]].split(SEPARATOR) if label]
        found.setdefault(row_id, {}).update(dict.fromkeys(labels))
    return {row_id: tuple(labels) for row_id, labels in found.items()}


def _seconds(text: str, path: Path) -> float:
    """5, 5.0 or 00:00:05 -> 5.0."""
    try:
        parts = [float(part) for part in text.split(":")]
    except ValueError as error:
        raise SubmissionError(f"{path}: {text!r} is no time. Write seconds, or hours:minutes:seconds.") from error
    return sum(part * 60**power for power, part in enumerate(reversed(parts)))
