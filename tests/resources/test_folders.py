"""Looking into folders: sorted, bounded, and never an error."""

import os
from pathlib import Path

import pytest

from soundpost.resources import folders
from soundpost.resources.folders import file_size, scan_folder, walk_folders


def test_scan_sorts_entries_and_tells_folders_from_files(tmp_path: Path) -> None:
    """The order of a directory on disk is nobody's business."""
    (tmp_path / "b").mkdir()
    (tmp_path / "c.wav").write_bytes(b"1")
    (tmp_path / "a").mkdir()
    (tmp_path / "d").symlink_to(tmp_path / "nowhere")

    listing = scan_folder(tmp_path)

    assert [entry.name for entry in listing.entries] == ["a", "b", "c.wav", "d"]
    assert listing.folders() == [tmp_path / "a", tmp_path / "b"]
    assert listing.is_whole


@pytest.mark.parametrize(("most", "is_whole"), [(2, False), (3, True)])
def test_scan_says_whether_it_saw_everything(tmp_path: Path, most: int, is_whole: bool) -> None:
    """A folder that holds exactly as many entries as may be looked at is whole."""
    for name in "abc":
        (tmp_path / name).touch()

    listing = scan_folder(tmp_path, most)

    assert len(listing.entries) == most
    assert listing.is_whole is is_whole


def test_scan_of_a_folder_that_cannot_be_read_is_empty(tmp_path: Path) -> None:
    """An absent folder has no entries, and there is nothing beyond them."""
    listing = scan_folder(tmp_path / "absent")

    assert (listing.entries, listing.is_whole) == ((), True)


def test_walk_goes_breadth_first_down_to_its_depth(tmp_path: Path) -> None:
    """The nearest folders come first, and those below the bound not at all."""
    (tmp_path / "a" / "deep" / "deeper").mkdir(parents=True)
    (tmp_path / "b").mkdir()

    seen = [listing.folder.relative_to(tmp_path).as_posix() for listing in walk_folders(tmp_path, 2)]

    assert seen == [".", "a", "b", "a/deep"]


def test_walk_through_a_circle_of_links_ends(tmp_path: Path) -> None:
    """A link to the folder above is followed only as deep as the bound allows."""
    (tmp_path / "up").symlink_to(tmp_path)

    assert len(list(walk_folders(tmp_path, 3))) == 4


def test_walk_ends_when_it_has_looked_at_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tree of any size costs a bounded number of looks."""
    monkeypatch.setattr(folders, "MAX_ENTRIES", 30)
    for i in range(100):
        (tmp_path / f"{i:03}").mkdir()

    assert len(list(walk_folders(tmp_path, 5))) == 1


def test_file_size_is_that_of_files_alone(tmp_path: Path) -> None:
    """Folders and what is not there have none."""
    (tmp_path / "clip.wav").write_bytes(b"1234")

    assert file_size(tmp_path / "clip.wav") == 4
    assert file_size(tmp_path) is None
    assert file_size(tmp_path / "absent") is None


def test_entry_that_may_not_be_looked_at_is_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mount that fails in the middle of a search is passed over."""

    class Broken:
        name, path = "broken", "/broken"

        def is_dir(self) -> bool:
            raise PermissionError(13, "Permission denied")

    class Scan(list):
        def __enter__(self) -> "Scan":
            return self

        def __exit__(self, *_: object) -> None:
            return

    monkeypatch.setattr(os, "scandir", lambda _: Scan([Broken()]))

    assert scan_folder(tmp_path).folders() == []
