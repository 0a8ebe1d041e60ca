"""Rows of the sample submission + a folder -> clips in submission order; the order never changes again."""

import os
from dataclasses import dataclass
from pathlib import Path

AUDIO_SUFFIXES = frozenset(
    {".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif", ".au", ".opus", ".w64", ".caf"}  # what soundfile reads
    | {".aifc", ".bw64", ".mp2", ".mpga", ".oga", ".rf64", ".snd", ".sph", ".voc"}  # the same, seldom met
    | {
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
    }  # ffmpeg
    | {".mp4", ".spx", ".tta", ".weba", ".webm", ".wma", ".wv"}  # ffmpeg
)


@dataclass(frozen=True, slots=True)
class Clip:
    """One row of the submission."""

    name: str  # as the sample submission writes it
    path: Path | None  # None: no such file in the folder
    n_bytes: int  # of the file; clips are taken up in this order, because length follows size


@dataclass(frozen=True)
class Clips:
    """All rows, and what the folder holds beside them."""

    clips: tuple[Clip, ...]
    n_strays: int  # audio files that are in no row; -1 when the folder was too large to look


def find_clips(names: tuple[str, ...], folder: Path, max_listing: int = 20_000) -> Clips:
    """Each row's file: the exact name; else the name with another case or another audio suffix.

    Args:
        names: first column of the sample submission.
        folder: of the clips; may be absent or empty.
        max_listing: entries of the folder that are looked at when a name is not found as it is written.
    """
    exact = {name: _size(folder / name) for name in names}
    listing = _listing(folder, max_listing)
    by_name: dict[str, str] = {}
    for entry in sorted(listing or ()):
        stem, suffix = os.path.splitext(entry)
        if suffix.lower() in AUDIO_SUFFIXES:
            by_name.setdefault(entry.lower(), entry)
            by_name.setdefault(stem.lower(), entry)
    clips = []
    for name in names:
        size, path = exact[name], folder / name
        if size is None:
            stem, suffix = os.path.splitext(name)
            bare = stem if suffix.lower() in AUDIO_SUFFIXES else name
            found = by_name.get(name.lower()) or by_name.get(bare.lower())
            path = folder / found if found else path
            size = _size(path) if found else None
        clips.append(Clip(name, path if size is not None else None, size or 0))
    used = {clip.path.name for clip in clips if clip.path}
    strays = (
        -1
        if listing is None
        else sum(1 for entry in listing if entry not in used and os.path.splitext(entry)[1].lower() in AUDIO_SUFFIXES)
    )
    return Clips(tuple(clips), strays)


def list_folder(folder: Path) -> tuple[str, ...]:
    """Audio files of a folder, sorted by name: the rows when there is no sample submission."""
    return tuple(sorted(e for e in _listing(folder, 10**9) or () if os.path.splitext(e)[1].lower() in AUDIO_SUFFIXES))


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size if path.is_file() else None
    except OSError:
        return None


def _listing(folder: Path, limit: int) -> list[str] | None:
    """Names of files in a folder; None when there are more than limit; empty when it cannot be read."""
    names = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if len(names) >= limit:
                    return None
                names.append(entry.name)
    except OSError:
        return []
    return names
