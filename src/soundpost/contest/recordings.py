"""The recordings of a test folder and how long they are, by their headers alone."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from soundpost.audio.decode import probe
from soundpost.contest.rows import Recording, is_recording
from soundpost.errors import ClipError

READERS = 8  # headers read at once: most of the time of each is waiting for the disk

Length = Callable[[Path], tuple[int, int]]  # samples and rate of an audio file; (0, 0) for one that cannot be read


def list_recordings(test_dir: Path, length: Length) -> tuple[Recording, ...]:
    """The recordings of a folder by name, with their lengths; none where the folder cannot be read."""
    try:
        with os.scandir(test_dir) as entries:
            names = sorted(entry.name for entry in entries if is_recording(entry.name) and entry.is_file())
    except OSError:
        return ()
    lengths = lengths_of([test_dir / name for name in names], length)
    return tuple(Recording(name, *found) for name, found in zip(names, lengths, strict=True))


def lengths_of(paths: Sequence[Path], length: Length) -> list[tuple[int, int]]:
    """Samples and rate of each file."""
    with ThreadPoolExecutor(READERS) as readers:
        return list(readers.map(length, paths))


def header_length(path: Path) -> tuple[int, int]:
    """Samples and rate as the header promises them; (0, 0) for a file that cannot be read."""
    try:
        found = probe(path)
    except ClipError:
        return 0, 0
    return found.samples, found.sample_rate
