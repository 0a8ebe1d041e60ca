"""Rows of the sample submission + a folder -> clips in submission order; the order never changes again."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from soundpost.resources.folders import file_size, scan_folder

# What soundfile reads, then what it reads and few have met, then what ffmpeg reads where it is there.
AUDIO_SUFFIXES = frozenset(
    [
        ".wav",
        ".flac",
        ".ogg",
        ".mp3",
        ".aiff",
        ".aif",
        ".au",
        ".opus",
        ".w64",
        ".caf",
        ".aifc",
        ".bw64",
        ".mp2",
        ".mpga",
        ".oga",
        ".rf64",
        ".snd",
        ".sph",
        ".voc",
        ".3gp",
        ".aac",
        ".ac3",
        ".amr",
        ".avi",
        ".dts",
        ".eac3",
        ".flv",
        ".m4a",
        ".m4b",
        ".mka",
        ".mkv",
        ".mov",
        ".mp4",
        ".spx",
        ".tta",
        ".weba",
        ".webm",
        ".wma",
        ".wv",
    ]
)


@dataclass(frozen=True, slots=True)
class Clip:
    """One row of the submission."""

    name: str  # as the sample submission writes it
    path: Path | None  # None: no such file in the folder
    n_bytes: int  # size of the file; clips are taken up in this order, because length follows size
    stretch: tuple[float, float] | None = None  # begin and length in seconds of what the row asks about; None: all


@dataclass(frozen=True)
class Clips:
    """All rows, and what the folder holds beside them."""

    clips: tuple[Clip, ...]
    n_strays: int  # audio files that are in no row; -1 when the folder was too large to look


def find_clips(names: tuple[str, ...], folder: Path, max_listing: int = 20_000) -> Clips:
    """Each row's file: the exact name; else the name with another case or another audio suffix.

    Args:
        names: first column of the sample submission.
        folder: where the clips lie; may be absent or empty.
        max_listing: entries of the folder that are looked at when a name is not found as it is written.
    """
    exact = {name: file_size(folder / name) for name in names}
    listing = scan_folder(folder, max_listing)
    present = [entry.name for entry in listing.entries] if listing.is_whole else []
    by_name: dict[str, str] = {}
    for entry in present:
        stem, suffix = _split(entry)
        if suffix in AUDIO_SUFFIXES:
            by_name.setdefault(entry.lower(), entry)
            by_name.setdefault(stem.lower(), entry)
    clips = []
    for name in names:
        size, path = exact[name], folder / name
        if size is None:
            stem, suffix = _split(name)
            bare = stem if suffix in AUDIO_SUFFIXES else name
            found = by_name.get(name.lower()) or by_name.get(bare.lower())
            path = folder / found if found else path
            size = file_size(path) if found else None
        clips.append(Clip(name, path if size is not None else None, size or 0))
    used = {clip.path.name for clip in clips if clip.path}
    strays = sum(entry not in used and _split(entry)[1] in AUDIO_SUFFIXES for entry in present)
    return Clips(tuple(clips), strays if listing.is_whole else -1)


def list_folder(folder: Path) -> tuple[str, ...]:
    """Audio files of a folder, sorted by name: the rows when there is no sample submission."""
    names = (entry.name for entry in scan_folder(folder, sys.maxsize).entries)
    return tuple(name for name in names if _split(name)[1] in AUDIO_SUFFIXES)


def _split(name: str) -> tuple[str, str]:
    """A file's name as a row may write it, which may hold any characters, in front of its suffix in lower case."""
    stem, suffix = os.path.splitext(name)  # a Path would not keep "a/b." or "" as they are
    return stem, suffix.lower()
