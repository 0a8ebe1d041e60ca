"""Columns whose names are codes: a table beside the sample says which species or class each one is."""

import re
from collections.abc import Collection, Sequence
from pathlib import Path

from soundpost.contest.cells import read_cells
from soundpost.errors import SubmissionError

FILES = ("taxonomy.csv", "train_metadata.csv", "classes.csv")  # the first one that names codes counts
CODES = ("primary_label", "column")  # a column of the submission, or a word of its lists
NAMES = ("scientific_name", "common_name", "class")  # what it is called beside that


def columns_of_labels(sample_path: Path, columns: Collection[str] | None, labels: Sequence[str]) -> dict[str, str]:
    """Label -> column, for labels that are no column but the name of one in a table beside the sample.

    Names are compared by their letters and digits alone: "Dog_bark" and "Dog bark" are one. A name that two columns
    have is nobody's. A table that cannot be read says nothing.

    Args:
        sample_path: sample_submission.csv.
        columns: those that the submission has; None: any that the table knows.
        labels: those of the weights.
    """
    known: dict[str, set[str]] = {}
    codes: set[str] = set(columns or ())
    for code, name in _pairs(sample_path.parent):
        if columns is None:
            codes.add(code)
        if code in codes and _simple(name):
            known.setdefault(_simple(name), set()).add(code)
    found = {label: known.get(_simple(label), set()) for label in labels if label not in codes}
    return {label: next(iter(named)) for label, named in found.items() if len(named) == 1}


def _pairs(folder: Path) -> list[tuple[str, str]]:
    """Code and name, for every name of the first table that has both."""
    for file in FILES:
        try:
            header, *rows = read_cells(folder / file) if (folder / file).is_file() else [[]]
        except (SubmissionError, ValueError):
            continue
        code = next((header.index(name) for name in CODES if name in header), None)
        names = [header.index(name) for name in NAMES if name in header]
        if code is not None and names:
            return [(row[code], row[name]) for row in rows if len(row) == len(header) for name in names]
    return []


def _simple(name: str) -> str:
    """Letters and digits of a name in lower case."""
    return re.sub(r"[^a-z0-9]", "", name.lower())
