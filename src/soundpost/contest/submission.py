"""submission.csv: read the sample, write a table whole or not at all, check what was written.

There are two formats, told apart by the sample's header. A wide one has a column for each class: its values are written
with nine significant digits, which restore every float32 exactly. A ranked one has a single column, "label", with the
likeliest classes of a clip, the likeliest first and spaces between.
"""

import csv
import heapq
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from soundpost.contest.cells import read_cells, refuse_twice
from soundpost.errors import SubmissionError

RANKED = "label"  # header of the one column of a ranked submission
N_RANKED = 3  # labels of a clip in it; Freesound 2018 was scored by MAP@3
FORMATS = f"a column for each class, or {RANKED!r} alone, for the {N_RANKED} likeliest classes of a clip"


@dataclass(frozen=True)
class Sample:
    """Rows and columns that a submission must repeat, in their order."""

    id_column: str  # header of the first column, "fname"
    columns: tuple[str, ...]  # classes
    names: tuple[str, ...]  # first cell of each row

    @property
    def header(self) -> tuple[str, ...]:
        """The first line of the file."""
        return self.id_column, *self.columns

    @property
    def line_names(self) -> tuple[str, ...]:
        """First cells of all lines of the file behind the header."""
        return self.names

    def lines(self, rows: Iterable[Sequence[float]]) -> Iterable[list[str]]:
        """Lines of the file behind the header, for probabilities (rows, columns) in the order of names."""
        for name, row in zip(self.names, rows, strict=True):
            yield [name, *self.cells(row)]

    def cells(self, row: Sequence[float]) -> Iterable[str]:
        """What stands behind a clip's name, for its probabilities (columns,)."""
        return map("{:.9g}".format, row)

    def fault(self, cells: Sequence[str]) -> str:
        """What is wrong with the cells behind a name; empty when nothing is."""
        try:
            values = [float(cell) for cell in cells]
        except ValueError as error:
            return str(error)
        if len(values) == len(self.columns) and all(math.isfinite(v) and 0 <= v <= 1 for v in values):
            return ""
        return f"{len(values)} values, of which some are missing, not finite or outside [0, 1]"


class RankedSample(Sample):
    """Rows of a submission that names the likeliest classes; its columns are all classes that it may name."""

    @property
    def header(self) -> tuple[str, ...]:
        """The first line of the file."""
        return self.id_column, RANKED

    def cells(self, row: Sequence[float]) -> Iterable[str]:
        """The labels of the highest probabilities; of equal ones, the first column's."""
        best = heapq.nlargest(N_RANKED, range(len(row)), key=row.__getitem__)
        return [" ".join(self.columns[i] for i in best)]

    def fault(self, cells: Sequence[str]) -> str:
        """What is wrong with the cells behind a name; empty when nothing is."""
        expected = min(N_RANKED, len(self.columns))
        named = cells[0].split(" ") if len(cells) == 1 else []
        if len(named) == len(set(named)) == expected and set(named) <= set(self.columns):
            return ""
        return f"{', '.join(cells)!r} is not {expected} different known labels with spaces between"


def read_sample(path: Path, labels: Sequence[str] = ()) -> Sample:
    """Rows and columns of a sample_submission.csv.

    Args:
        path: the contest's file.
        labels: those that there are, which a ranked sample does not say.

    Raises:
        SubmissionError: not readable as a table, no column beside the first, a name that stands twice, or, for a ranked
            submission, a label that could not be told from two.
    """
    rows = read_cells(path)
    if not rows or len(rows[0]) < 2:
        raise SubmissionError(
            f"{path}: no header with a name and at least one column: {FORMATS}. Give the contest's own file."
        )
    header, names = rows[0], [row[0] for row in rows[1:]]
    refuse_twice(path, header, names)
    if header[1:] != [RANKED]:
        return Sample(header[0], tuple(header[1:]), tuple(names))
    check_words(labels, path)
    return RankedSample(header[0], tuple(labels), tuple(names))


def check_words(labels: Sequence[str], path: Path) -> None:
    """Raise SubmissionError for a label that could not be told from two in a list with spaces between."""
    for label in labels:
        if label.split() != [label]:
            raise SubmissionError(
                f"{path} asks for labels with spaces between, and {label!r} is not one word. "
                f"Name it {'_'.join(label.split()) or 'something'!r} in recipe.toml, by its label or in [aliases]."
            )


def write(path: Path, sample: Sample, rows: Iterable[Sequence[float]]) -> None:
    """Replace the file by this table, or leave the old file untouched: written aside, flushed to disk, renamed.

    Args:
        path: submission.csv.
        sample: names and columns.
        rows: (clips, columns), in the sample's order; finite, in [0, 1].

    Raises:
        SubmissionError: a value is not finite or outside [0, 1], or rows or columns are missing.
        OSError: the disk is full or read-only; the old file is untouched.
    """
    part = aside(path)
    try:
        with part.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(sample.header)
            writer.writerows(sample.lines(_checked(rows, sample)))
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except ValueError as error:
        part.unlink(missing_ok=True)
        raise SubmissionError(
            f"{path}: {len(sample.names)} rows expected ({error}). Report this as a defect."
        ) from error
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def aside(path: Path) -> Path:
    """The file in which the next submission grows until it replaces the last one."""
    return path.with_name(path.name + ".part")


def _checked(rows: Iterable[Sequence[float]], sample: Sample) -> Iterable[Sequence[float]]:
    for name, row in zip(sample.names, rows, strict=True):
        if len(row) != len(sample.columns) or not all(0.0 <= value <= 1.0 for value in row):
            bad = next((v for v in row if not 0.0 <= v <= 1.0), None)
            raise SubmissionError(
                f"{name}: {len(row)} values for {len(sample.columns)} columns, first bad value {bad}. "
                "Report this as a defect."
            )
        yield row


def check(path: Path, sample: Sample) -> list[str]:
    """Every way in which a submission file differs from what the sample asks for; empty when it is valid."""
    try:
        text = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        return [f"cannot be read: {error}"]
    found = []
    if "\r" in text:
        found.append("line ends are not Unix ones")
    rows = list(csv.reader(text.splitlines()))
    if not rows or tuple(rows[0]) != sample.header:
        found.append(f"header differs: {rows[0][:3] if rows else 'none'}")
    if tuple(row[0] if row else "" for row in rows[1:]) != sample.line_names:
        found.append(f"rows differ: {len(rows) - 1} rows, {len(sample.line_names)} expected, in the sample's order")
    return found + [f"{row[0]}: {fault}" for row in rows[1:] if row and (fault := sample.fault(row[1:]))]
