"""Where a contest's files lie on Kaggle, in the old and the new mount layout, without walking large folders."""

import os
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from soundpost.errors import SettingsError

SAMPLE = "sample_submission.csv"
MAX_DEPTH = 5
MAX_ENTRIES = 20_000  # of all folders together that are looked at
MAX_PER_FOLDER = 2_000  # entries; a folder with more holds clips, not folders


@dataclass(frozen=True)
class Found:
    """A contest's files."""

    sample_submission: Path
    test_dir: Path


def locate(root: Path, competition: str = "") -> Found:
    """The sample submission and the folder of test clips under an input root.

    Args:
        root: /kaggle/input.
        competition: slug; its folders are tried first. Empty: any.

    Raises:
        SettingsError: nothing there; the message lists what is.
    """
    places = [root / competition, root / "competitions" / competition] if competition else []
    for place in places:
        if _is_file(place / SAMPLE):
            return Found(place / SAMPLE, _test_dir(place))
    found = _search(root)
    if found is None:
        raise SettingsError(
            f"no {SAMPLE} under {root}; found there: {', '.join(_heads(root)) or 'nothing'}. Attach the competition's "
            "data to the kernel, or give --sample-submission and --test-dir."
        )
    return Found(found, _test_dir(found.parent))


def _test_dir(folder: Path) -> Path:
    """The folder of the clips beside a sample submission: test, or the first whose name begins so.

    In a rerun it may only appear later, so a name is given in any case.
    """
    if (folder / "test").is_dir():
        return folder / "test"
    named = sorted(p for p in _folders(folder) if p.name.lower().startswith("test"))
    audio = sorted(p for p in _folders(folder) if "test" in p.name.lower())
    return next(iter([*named, *audio]), folder / "test")


def _search(root: Path) -> Path | None:
    """The nearest sample submission, breadth first, within MAX_DEPTH and MAX_ENTRIES."""
    queue = deque([(root, 0)])
    looked_at = 0
    while queue and looked_at < MAX_ENTRIES:
        folder, depth = queue.popleft()
        if _is_file(folder / SAMPLE):
            return folder / SAMPLE
        if depth < MAX_DEPTH:
            inside = _folders(folder)
            looked_at += len(inside) + 1
            queue.extend((path, depth + 1) for path in sorted(inside))
    return None


def _folders(folder: Path) -> list[Path]:
    """Folders directly inside, as far as the first MAX_PER_FOLDER entries show them."""
    found = []
    try:
        with os.scandir(folder) as entries:
            for number, entry in enumerate(entries):
                if number >= MAX_PER_FOLDER:
                    break
                if entry.is_dir():
                    found.append(Path(entry.path))
    except OSError:
        return []
    return found


def _is_file(path: Path) -> bool:
    """Whether there is such a file; one in a folder that may not be entered counts as none."""
    try:
        return path.is_file()
    except OSError:
        return False


def _heads(root: Path) -> list[str]:
    names = []
    for folder in sorted(_folders(root))[:10]:
        names.append(folder.name)
        names += [f"{folder.name}/{inner.name}" for inner in sorted(_folders(folder))[:5]]
    return names[:20]
