"""Where a contest's files lie on Kaggle, in the old and the new mount layout, without walking large folders."""

from dataclasses import dataclass
from pathlib import Path

from soundpost.errors import SettingsError
from soundpost.resources.folders import file_size, scan_folder, walk_folders

SAMPLE = "sample_submission.csv"
MAX_DEPTH = 5  # folders below the input root, of which each layout needs two at most


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
        if file_size(place / SAMPLE) is not None:
            return Found(place / SAMPLE, _test_dir(place))
    found = _search(root)
    if found is None:
        refuse_empty(root)
    if found is None:
        raise SettingsError(
            f"no {SAMPLE} under {root}; found there: {', '.join(_heads(root)) or 'nothing'}. Attach the competition's "
            "data to the kernel, or give --sample-submission and --test-dir."
        )
    return Found(found, _test_dir(found.parent))


def refuse_empty(root: Path) -> None:
    """Refuse an input root under which nothing is mounted.

    Raises:
        SettingsError: it is empty; soundpost.kernel.follow knows the words.
    """
    if root.is_dir() and not _heads(root):
        raise SettingsError(
            f"{root} is empty: no {SAMPLE} there. The first run after a source was attached can start before it is "
            "mounted: run the same version once more. If it stays so, attach the competition's data to the kernel."
        )


def _test_dir(folder: Path) -> Path:
    """The folder of the clips beside a sample submission: test, or the first whose name begins so.

    In a rerun it may only appear later, so a name is given in any case.
    """
    if (folder / "test").is_dir():
        return folder / "test"
    folders = [path for path in scan_folder(folder).folders() if "test" in path.name.lower()]
    return min(folders, key=lambda path: (not path.name.lower().startswith("test"), path), default=folder / "test")


def _search(root: Path) -> Path | None:
    """The nearest sample submission, breadth first, within the bounds of walk_folders."""
    folders = (listing.folder for listing in walk_folders(root, MAX_DEPTH))
    return next((folder / SAMPLE for folder in folders if file_size(folder / SAMPLE) is not None), None)


def _heads(root: Path) -> list[str]:
    names: list[str] = []
    for folder in scan_folder(root).folders()[:10]:
        names.append(folder.name)
        names += [f"{folder.name}/{inner.name}" for inner in scan_folder(folder).folders()[:5]]
    return names[:20]
