"""Rows that are windows: from the sample, a table of rows and the recordings in the folder to rows that never change.

table       a csv names every row: those are the rows
imitation   no recording is there, as when a kernel is saved: the sample's rows, without audio
folder      recordings, none of which the sample names: its columns and grammar, rows from the folder
sample      the sample names some of the recordings: its rows in their order; what it leaves out follows
"""

import bisect
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from soundpost.contest.grammar import Grammar, largest_end

RECORDING_SUFFIXES = frozenset({".ogg", ".mp3", ".flac", ".wav"})


@dataclass(frozen=True, slots=True)
class Recording:
    """One audio file of the test folder."""

    name: str
    samples: int  # 0: not known, because it cannot be read
    rate: int  # Hz

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return os.path.splitext(self.name)[0]

    @property
    def seconds(self) -> float:
        """How long it is; 0 where that is not known."""
        return self.samples / self.rate if self.rate > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the submission: a window of a recording, and the class that it asks for where it asks for one."""

    row_id: str
    file: str | None  # name in the folder; None: there is no such recording
    start: float  # s
    end: float | None  # s; None: the whole recording
    label: str = ""  # the class that the row asks for; "": all classes

    def audio(self, recording: Recording | None) -> str:
        """Whether its recording has "full" audio for it, "part" of it, or "none"."""
        if recording is None or not recording.samples or self.start * recording.rate >= recording.samples:
            return "none"
        whole = self.end is None or round(self.end * recording.rate) <= recording.samples
        return "full" if whole else "part"


@dataclass(frozen=True)
class Rows:
    """All rows in the order of the submission, and where they come from."""

    branch: str  # "table", "imitation", "folder", "sample", "sample+windows", "sample+files", "sample+windows+files"
    rows: tuple[Row, ...]

    def sentence(self) -> str:
        """What happened, for the log."""
        files = len({row.file for row in self.rows if row.file})
        missing = len({row.row_id for row in self.rows if row.file is None})
        what = {
            "table": "rows are those of the contest's table",
            "imitation": "no recording is in the test folder: rows are the sample's own, without audio",
            "folder": "the sample names no recording of the folder: it gives columns and grammar, the folder the rows",
        }.get(self.branch.split("+")[0], "rows of the sample keep their order")
        also = "".join(
            f"; {text}"
            for part, text in (
                ("windows", "windows that it leaves out follow their recording"),
                ("files", "recordings that it does not name follow at the end"),
            )
            if part in self.branch.split("+")[1:]
        )
        without = f", {missing:,} without audio" if missing else ""
        return f"{what}{also}: {len(self.rows):,} rows of {files:,} recordings{without}"


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row of a contest's table of rows."""

    row_id: str
    stem: str  # its recording's, or what its recording's name begins with
    site: str  # may stand between stem and the rest of the name; "" for none
    end: float | None  # s; None: the whole recording
    label: str = ""


def is_recording(name: str) -> bool:
    """Whether a name in the folder is that of a recording."""
    return os.path.splitext(name)[1].lower() in RECORDING_SUFFIXES


def find_rows(
    sample_ids: Sequence[str],
    grammar: Grammar,
    recordings: Sequence[Recording],
    table: Sequence[TableRow] | None = None,
) -> Rows:
    """The rows of a submission.

    Args:
        sample_ids: first cells of the sample submission.
        grammar: how its ids are written.
        recordings: what lies in the test folder.
        table: the contest's own rows, where it has a table of them.
    """
    ordered = sorted(recordings, key=lambda recording: recording.name)
    if table is not None:
        return _from_table(sample_ids, grammar, ordered, table)
    by_stem: dict[str, Recording] = {}
    for recording in ordered:
        by_stem.setdefault(recording.stem, recording)
        by_stem.setdefault(recording.name, recording)
    named = [_sample_row(row_id, grammar, by_stem) for row_id in sample_ids]
    if not ordered:
        return Rows("imitation", tuple(named))
    usual = usual_count(ordered, grammar, sample_ids)
    if not any(row.file for row in named):
        return Rows("folder", tuple(row for recording in ordered for row in _windows(recording, grammar, usual)))
    return _from_sample(named, grammar, ordered, usual)


def usual_count(recordings: Sequence[Recording], grammar: Grammar, sample_ids: Sequence[str]) -> int:
    """How many windows a recording has whose length is not known: as most others, the larger of equally common ones."""
    counts = Counter(grammar.count(r.samples, r.rate) for r in recordings if r.samples and r.rate)
    if counts:
        return max(counts, key=lambda count: (counts[count], count))
    return max(1, round(largest_end(grammar, sample_ids) / grammar.window))


def _sample_row(row_id: str, grammar: Grammar, by_stem: Mapping[str, Recording]) -> Row:
    parts = grammar.split(row_id)
    if parts is None:
        whole = by_stem.get(row_id)
        return Row(row_id, whole.name if whole else None, 0.0, None)
    stem, end = parts
    found = by_stem.get(stem)
    return Row(row_id, found.name if found else None, max(0.0, end - grammar.window), end)


def _windows(recording: Recording, grammar: Grammar, usual: int) -> list[Row]:
    """All rows of a recording."""
    count = grammar.count(recording.samples, recording.rate) if recording.samples and recording.rate else usual
    ends = [(i + 1) * grammar.window for i in range(count)]
    return [Row(grammar.row_id(recording.stem, end), recording.name, end - grammar.window, end) for end in ends]


def _from_sample(named: Sequence[Row], grammar: Grammar, ordered: Sequence[Recording], usual: int) -> Rows:
    present = {row.row_id for row in named}
    last = {row.file: number for number, row in enumerate(named) if row.file}
    by_name = {recording.name: recording for recording in ordered}
    rows, more_windows = [], False
    for number, row in enumerate(named):
        rows.append(row)
        if row.file and last[row.file] == number:
            missing = [w for w in _windows(by_name[row.file], grammar, usual) if w.row_id not in present]
            more_windows |= bool(missing)
            rows += missing
    others = [recording for recording in ordered if recording.name not in last]
    more = [row for recording in others for row in _windows(recording, grammar, usual) if row.row_id not in present]
    branch = "sample" + "+windows" * more_windows + "+files" * bool(more)
    return Rows(branch, tuple(rows + more))


def _from_table(
    sample_ids: Sequence[str], grammar: Grammar, ordered: Sequence[Recording], table: Sequence[TableRow]
) -> Rows:
    by_id = {row.row_id: row for row in table}
    in_sample = set(sample_ids)
    if in_sample <= set(by_id):
        table = [by_id[row_id] for row_id in sample_ids] + [row for row in table if row.row_id not in in_sample]
    files: dict[tuple[str, str], str | None] = {}
    known = _Files(ordered)
    rows = []
    for entry in table:
        key = (entry.stem, entry.site)
        if key not in files:
            files[key] = _file_of(entry, known)
        start = 0.0 if entry.end is None else max(0.0, entry.end - grammar.window)
        rows.append(Row(entry.row_id, files[key], start, entry.end, entry.label))
    return Rows("table", tuple(rows))


def _file_of(entry: TableRow, files: "_Files") -> str | None:
    """A recording that begins with id and site, or is called by the id, or begins with it: 357 is not 3575."""
    with_site = files.beginning(f"{entry.stem}_{entry.site}_") if entry.site else None
    return with_site or files.called(entry.stem) or files.beginning(f"{entry.stem}_")


class _Files:
    """Names of recordings, found by their beginning or as a whole without a look at all of them."""

    def __init__(self, ordered: Sequence[Recording]) -> None:
        self._names = [recording.name for recording in ordered]
        self._called = {r.stem: r.name for r in reversed(ordered)} | {r.name: r.name for r in ordered}

    def called(self, stem: str) -> str | None:
        """The recording of that name, with or without its suffix."""
        return self._called.get(stem)

    def beginning(self, text: str) -> str | None:
        """The first recording whose name begins so."""
        place = bisect.bisect_left(self._names, text)
        found = self._names[place] if place < len(self._names) else ""
        return found if found.startswith(text) else None
