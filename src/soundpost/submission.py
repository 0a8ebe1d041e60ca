"""submission.csv: read the sample, write a table whole or not at all, check what was written.

Values are written with nine significant digits, which restore every float32 exactly.
"""

import csv
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from soundpost.errors import SubmissionError


@dataclass(frozen=True)
class Sample:
    """Rows and columns that a submission must repeat, in their order."""

    id_column: str  # header of the first column, "fname"
    columns: tuple[str, ...]
    names: tuple[str, ...]  # first cell of each row


def read_sample(path: Path) -> Sample:
    """Rows and columns of a sample_submission.csv.

    Raises:
        SubmissionError: not readable as a table, no column beside the first, or a name that stands twice.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SubmissionError(f"{path}: cannot be read ({error}). Give the contest's sample_submission.csv.") from error
    if not rows or len(rows[0]) < 2:
        raise SubmissionError(f"{path}: no header with a name and at least one column. Give the contest's own file.")
    header, names = rows[0], [row[0] for row in rows[1:]]
    for what, values in (("column", header), ("row", names)):
        if len(set(values)) != len(values):
            twice = next(v for v in values if values.count(v) > 1)
            raise SubmissionError(f"{path}: {what} {twice!r} stands twice. Give the contest's own file.")
    return Sample(header[0], tuple(header[1:]), tuple(names))


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
            writer.writerow([sample.id_column, *sample.columns])
            for name, row in zip(sample.names, _checked(rows, sample), strict=True):
                writer.writerow([name, *map("{:.9g}".format, row)])
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
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
    if not rows or rows[0] != [sample.id_column, *sample.columns]:
        found.append(f"header differs: {rows[0][:3] if rows else 'none'}")
    if tuple(row[0] if row else "" for row in rows[1:]) != sample.names:
        found.append(f"rows differ: {len(rows) - 1} rows, {len(sample.names)} expected, in the sample's order")
    for row in filter(None, rows[1:]):
        try:
            values = [float(cell) for cell in row[1:]]
        except ValueError as error:
            found.append(f"{row[0]}: {error}")
            continue
        if len(values) != len(sample.columns) or not all(math.isfinite(v) and 0 <= v <= 1 for v in values):
            found.append(f"{row[0]}: {len(values)} values, of which some are missing, not finite or outside [0, 1]")
    return found
