"""Columns whose names are codes: a contest's taxonomy says which species each one is."""

import re
from collections.abc import Sequence
from pathlib import Path

from soundpost.contest.cells import read_cells

TAXONOMY = "taxonomy.csv"
NAMES = ("scientific_name", "common_name")  # what a column is called beside its primary_label


def columns_of_labels(sample_path: Path, columns: Sequence[str], labels: Sequence[str]) -> dict[str, str]:
    """Label -> column, for labels that are no column but the name of one in the taxonomy beside the sample.

    Names are compared by their letters and digits alone: "Dog_bark" and "Dog bark" are one. A name that two columns
    have is nobody's.
    """
    path = sample_path.parent / TAXONOMY
    cells = read_cells(path) if path.is_file() else []
    if not cells or "primary_label" not in cells[0]:
        return {}
    place = {name: number for number, name in enumerate(cells[0])}
    known: dict[str, set[str]] = {}
    for row in (row for row in cells[1:] if len(row) == len(cells[0])):
        column = row[place["primary_label"]]
        for name in (row[place[kind]] for kind in NAMES if kind in place):
            if column in columns and _simple(name):
                known.setdefault(_simple(name), set()).add(column)
    found = {label: known.get(_simple(label), set()) for label in labels if label not in columns}
    return {label: next(iter(named)) for label, named in found.items() if len(named) == 1}


def _simple(name: str) -> str:
    """Letters and digits of a name in lower case."""
    return re.sub(r"[^a-z0-9]", "", name.lower())
