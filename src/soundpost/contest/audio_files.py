"""Audio files as a person names them: single files, or folders with all that lies in them and below."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from soundpost.contest.clips import AUDIO_SUFFIXES
from soundpost.errors import SettingsError


class AudioFile(NamedTuple):
    """One audio file, and what a table calls it."""

    # Below the folder that was named, with slashes; the file's own name where it was named itself; where two would be
    # called the same, the whole path without the first slash.
    name: str
    path: Path


def find_audio_files(places: Sequence[Path]) -> list[AudioFile]:
    """Every audio file of the places, folder by folder in the order of names; a file that comes twice comes once.

    Args:
        places: files, of any suffix, and folders, of which files with an audio suffix are taken, links to folders not
            followed.

    Raises:
        SettingsError: a place is not there, a folder cannot be read, or there is no audio file in any of them.
    """
    found: dict[Path, AudioFile] = {}
    for place in places:
        if place.is_file():
            found.setdefault(place.resolve(), AudioFile(place.name, place))
        elif place.is_dir():
            for path in _below(place):
                found.setdefault(path.resolve(), AudioFile(path.relative_to(place).as_posix(), path))
        else:
            raise SettingsError(f"{place} is neither a file nor a folder. Correct the path.")
    if not found:
        shown = ", ".join(map(str, places))
        raise SettingsError(
            f"no audio file in {shown}. Name a folder that holds some ({', '.join(sorted(AUDIO_SUFFIXES))}), or files."
        )
    named = Counter(file.name for file in found.values())
    return [
        file if named[file.name] == 1 else AudioFile(path.as_posix().lstrip("/"), file.path)
        for path, file in found.items()
    ]


def _below(folder: Path) -> list[Path]:
    def refuse(error: OSError) -> None:
        raise SettingsError(f"{error.filename}: {error.strerror}. Make it readable, or name other folders.") from error

    found = []
    for inside, folders, files in os.walk(folder, onerror=refuse):
        folders.sort()
        found += [Path(inside) / file for file in sorted(files) if Path(file).suffix.lower() in AUDIO_SUFFIXES]
    return found
