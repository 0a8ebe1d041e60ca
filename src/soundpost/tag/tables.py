"""Detections as tables: csv, parquet, selection tables of Raven, label tracks of Audacity.

csv and parquet have the columns file, start, end, label, score: seconds from the beginning of the file, and a
probability. A selection table of several files counts its begin times on through all of them, as Raven does when it
opens them one after the other; File Offset is the time within the file. Audacity's labels know one file only.
"""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from soundpost.contest.audio_files import AudioFile
from soundpost.errors import SettingsError
from soundpost.tag.detections import Detection, Heard

INSTALL = "Run pip install 'soundpost[parquet]', or take --format csv."
COLUMNS = ("file", "start", "end", "label", "score")
SUFFIXES = {"csv": ".csv", "parquet": ".parquet", "raven": ".selections.txt", "audacity": ".labels.txt"}


def write_table(path: Path, kind: str, heard: Sequence[Heard]) -> None:
    """Replace the file by a table of all detections, or leave the old one untouched.

    Args:
        path: the file; folders above it are made.
        kind: a key of FORMATS.
        heard: recordings in order; audacity's must be one.

    Raises:
        SettingsError: the file cannot be written, or pyarrow is not there for parquet.
    """
    aside = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        FORMATS[kind](aside, heard)
        aside.replace(path)
    except ImportError as error:
        raise SettingsError(f"{path}: {error}. {INSTALL}") from error
    except OSError as error:
        raise SettingsError(f"{path}: cannot be written ({error.strerror}). Name a file that can.") from error
    finally:
        if aside.parent.is_dir():
            aside.unlink(missing_ok=True)


def read_table(path: Path, kind: str, recordings: Sequence[AudioFile]) -> list[Heard]:
    """What an earlier call wrote about these recordings, as far as the table names them.

    Raises:
        SettingsError: a format that does not say which recording a row is about, or a file that is no such table.
    """
    if kind not in ("csv", "parquet"):
        raise SettingsError(f"--skip-existing with one table of format {kind}. Write one a recording: --each FOLDER.")
    try:
        rows = _read_csv(path) if kind == "csv" else _read_parquet(path)
        known = {recording.name: recording for recording in recordings}
        found: dict[str, list[Detection]] = {}
        for file, start, end, label, score in rows:
            if file in known:
                found.setdefault(file, []).append(
                    Detection(known[file], float(start), float(end), str(label), float(score))
                )
    except ImportError as error:
        raise SettingsError(f"{path}: {error}. {INSTALL}") from error
    except (OSError, ValueError, KeyError) as error:
        raise SettingsError(
            f"{path} is no table of this format ({error}). Name another --out, or delete it."
        ) from error
    return [Heard(known[name], detections=tuple(detections)) for name, detections in found.items()]


def _rows(heard: Sequence[Heard]) -> list[tuple[str, float, float, str, float]]:
    return [
        (d.recording.name, round(d.begin, 3), round(d.end, 3), d.label, round(d.score, 6))
        for one in heard
        for d in one.detections
    ]


def _csv(path: Path, heard: Sequence[Heard]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(_rows(heard))


def _read_csv(path: Path) -> list[tuple[str, ...]]:
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise ValueError(f"its columns are {', '.join(reader.fieldnames or ['none'])}")
        return [tuple(row[column] for column in COLUMNS) for row in reader]


def _read_parquet(path: Path) -> list[tuple[Any, ...]]:
    import pandas as pd

    return list(pd.read_parquet(path)[list(COLUMNS)].itertuples(index=False, name=None))


def _parquet(path: Path, heard: Sequence[Heard]) -> None:
    import pandas as pd

    types = {"file": "str", "start": "float64", "end": "float64", "label": "str", "score": "float64"}
    pd.DataFrame(_rows(heard), columns=list(COLUMNS)).astype(types).to_parquet(path, index=False)


def _raven(path: Path, heard: Sequence[Heard]) -> None:
    header = ("Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)")
    table: list[tuple[Any, ...]] = []
    before = 0.0
    for one in heard:
        for d in one.detections:
            times = (f"{before + d.begin:.3f}", f"{before + d.end:.3f}", 0, one.sample_rate // 2)
            place = (d.recording.path.resolve(), d.recording.path.name, f"{d.begin:.3f}")
            table.append((len(table) + 1, "Spectrogram 1", 1, *times, *place, d.label, f"{d.score:.4f}"))
        before += one.seconds
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow([*header, "Begin Path", "Begin File", "File Offset (s)", "Label", "Score"])
        writer.writerows(table)


def _audacity(path: Path, heard: Sequence[Heard]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        for one in heard:
            file.writelines(f"{d.begin:.6f}\t{d.end:.6f}\t{d.label} {d.score:.2f}\n" for d in one.detections)


FORMATS: dict[str, Callable[[Path, Sequence[Heard]], None]] = {
    "csv": _csv,
    "parquet": _parquet,
    "raven": _raven,
    "audacity": _audacity,
}
