"""A look into folders that may be huge, deep or unreadable, within bounds that every user of it shares."""

import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MAX_ENTRIES = 20_000  # a search ends when it has looked at so many entries of all folders together
MAX_PER_FOLDER = 2_000  # a folder with more entries holds clips, so a search sees only its first ones


@dataclass(frozen=True)
class Listing:
    """What was seen of one folder."""

    folder: Path
    entries: tuple[os.DirEntry[str], ...]  # by name
    is_whole: bool  # whether there was nothing beyond the bound

    def folders(self) -> list[Path]:
        """The folders among the entries; a link that leads nowhere is none."""
        return [Path(entry.path) for entry in self.entries if _is_folder(entry)]


def scan_folder(folder: Path, most: int = MAX_PER_FOLDER) -> Listing:
    """The first entries of a folder, at most so many, sorted by name; none when it cannot be read."""
    found: list[os.DirEntry[str]] = []
    is_whole = True
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if len(found) >= most:
                    is_whole = False
                    break
                found.append(entry)
    except OSError:
        found, is_whole = [], True
    return Listing(folder, tuple(sorted(found, key=lambda entry: entry.name)), is_whole)


def walk_folders(root: Path, max_depth: int) -> Iterator[Listing]:
    """Every folder from a root down, the nearest first, until MAX_ENTRIES entries have been looked at.

    Args:
        root: where to begin; it may be absent.
        max_depth: folders so many steps below the root are listed, and none below them.
    """
    queue = deque([(root, 0)])
    looked_at = 0
    while queue and looked_at < MAX_ENTRIES:
        folder, depth = queue.popleft()
        listing = scan_folder(folder, MAX_PER_FOLDER)
        looked_at += len(listing.entries) + 1
        if depth < max_depth:
            queue.extend((path, depth + 1) for path in listing.folders())
        yield listing


def file_size(path: Path) -> int | None:
    """Bytes of a file; None where there is no file, or none that may be looked at."""
    try:
        return path.stat().st_size if path.is_file() else None
    except OSError:
        return None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False
