"""The clips of an archive as one table: files, folders, globs, tables of paths with offsets, and remote addresses.

Every clip has an id that no other one has: what it is called below the folder that was named, the file's own name
where it was named itself, the whole path where two would be called the same, and for a table the path as it stands
there or its column id. A clip that is a stretch of a file ends in #t=BEGIN,END, in seconds, as web addresses say it.
"""

import glob
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from soundpost.archive import addresses
from soundpost.contest.audio_files import find_audio_files
from soundpost.errors import SettingsError

TABLES = (".csv", ".parquet")
# What the columns of a table of paths may be called, in this order of preference.
PATHS = ("path", "file", "filename", "filepath", "fname", "address", "url", "uri")
BEGINS = ("start", "begin", "offset")
ENDS = ("end", "stop")
LENGTHS = ("duration", "seconds", "length")
SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("start", pa.float64()),
        pa.field("end", pa.float64()),
    ]
)


class Named(NamedTuple):
    """One clip as a person named it."""

    name: str  # what to call it, as long as no other clip is called so
    path: str  # a local path or an address
    start: float | None  # s; None: the beginning of the file
    end: float | None  # s; None: its end


def list_clips(places: Sequence[str], root: str = "") -> pa.Table:
    """All clips in the order in which they are named, each once.

    Args:
        places: files, folders with all below them, globs (*, ?, [...], **), csv and parquet files of paths, and
            addresses such as s3://bucket/folder that fsspec reads.
        root: the folder or address that relative paths of tables lie below; empty: the table's own folder.

    Returns:
        Columns id, path, start, end, as SCHEMA has them.

    Raises:
        SettingsError: a place that is not there, a table without a column of paths, or no clip at all.
    """
    found: dict[tuple[str, float | None, float | None], Named] = {}
    for place in places:
        for clip in _at(place, root):
            found.setdefault((clip.path, clip.start, clip.end), clip)
    if not found:
        raise SettingsError(f"no clip in {', '.join(places)}. Name files, folders, globs or tables that hold some.")
    clips = list(found.values())
    named = Counter((clip.name, clip.start, clip.end) for clip in clips)
    ids = [
        (clip.name if named[clip.name, clip.start, clip.end] == 1 else clip.path) + fragment(clip.start, clip.end)
        for clip in clips
    ]
    if len(set(ids)) < len(ids):
        twice = next(name for name, count in Counter(ids).items() if count > 1)
        raise SettingsError(f"two clips are called {twice!r}. Give them different ids in the table's column id.")
    columns = [ids, [c.path for c in clips], [c.start for c in clips], [c.end for c in clips]]
    return pa.table(columns, schema=SCHEMA)


def fragment(start: float | None, end: float | None) -> str:
    """What an id says about a stretch: "#t=10,20", "#t=10" up to the end of the file; empty for the whole file."""
    if start is None and end is None:
        return ""
    return f"#t={_brief(start or 0.0)}" + (f",{_brief(end)}" if end is not None else "")


def _brief(seconds: float) -> str:
    return f"{seconds:.3f}".rstrip("0").rstrip(".")


def _at(place: str, root: str) -> Iterator[Named]:
    if place.lower().endswith(TABLES):
        yield from _of_table(place, root)
    elif addresses.is_remote(place):
        yield from (Named(name, address, None, None) for name, address in addresses.audio_below(place))
    else:
        paths = [Path(place)]
        if glob.has_magic(place) and not paths[0].exists():
            paths = [Path(match) for match in _matches(place)]
            if not paths:
                raise SettingsError(f"nothing matches {place}. Correct the pattern.")
        yield from (Named(file.name, str(file.path), None, None) for file in find_audio_files(paths))


def _matches(pattern: str) -> list[str]:
    """Paths that match a pattern with *, ?, [...] and **, in order."""
    return sorted(glob.iglob(pattern, recursive=True))  # noqa: PTH207  Path.glob takes no absolute pattern


def _of_table(place: str, root: str) -> Iterator[Named]:
    table = _read(place)
    path_column = _column(table, PATHS)
    if path_column is None:
        raise SettingsError(
            f"{place} has columns {', '.join(table.column_names)}, and none of paths ({', '.join(PATHS)}). Rename one."
        )
    columns = [_column(table, names) for names in (("id",), BEGINS, ENDS, LENGTHS)]
    paths = table[path_column].to_pylist()
    ids, begins, ends, lengths = (table[c].to_pylist() if c else [None] * len(paths) for c in columns)
    base = root or place.rpartition("/")[0]
    for number, (path, name, begin, end, length) in enumerate(zip(paths, ids, begins, ends, lengths, strict=True)):
        if path is None or str(path) == "":
            raise SettingsError(f"{place}: row {number + 1:,} has no path. Fill it in, or leave the row out.")
        start, stop = _stretch(f"{place}: row {number + 1:,}", begin, end, length)
        yield Named(str(name) if name is not None else str(path), addresses.join(base, str(path)), start, stop)


def _stretch(row: str, begin: Any, end: Any, length: Any) -> tuple[float | None, float | None]:
    try:
        start = None if begin is None else float(begin)
        stop = float(end) if end is not None else None if length is None else (start or 0.0) + float(length)
    except (TypeError, ValueError) as error:
        raise SettingsError(f"{row} has offsets that are no numbers ({error}). Give seconds.") from error
    if (start or 0.0) < 0 or (stop is not None and not stop > (start or 0.0)):
        raise SettingsError(f"{row} goes from {start} to {stop} s. Give a begin from 0 on, and a later end.")
    return start, stop


def _read(place: str) -> pa.Table:
    """A table of paths, by one thread, so that none exists yet when worker processes are forked.

    Raises:
        SettingsError: it cannot be read.
    """
    try:
        with addresses.opened(place) as file:
            if place.lower().endswith(".parquet"):
                return pyarrow.parquet.read_table(file, use_threads=False)
            options = pyarrow.csv.ReadOptions(use_threads=False)
            return pyarrow.csv.read_csv(file, read_options=options, convert_options=_as_written())
    except (OSError, pa.ArrowInvalid) as error:
        raise SettingsError(f"{place} is no table that can be read ({error}). Correct the path or the file.") from error


def _as_written() -> pyarrow.csv.ConvertOptions:
    """Paths and ids stay text, even where all of them look like numbers."""
    return pyarrow.csv.ConvertOptions(
        column_types=dict.fromkeys((*PATHS, "id"), pa.string()), strings_can_be_null=True, null_values=[""]
    )


def _column(table: pa.Table, names: Sequence[str]) -> str | None:
    return next((name for name in names if name in table.column_names), None)
