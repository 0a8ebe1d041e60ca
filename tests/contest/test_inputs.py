"""Where a contest's files lie on Kaggle: both mount layouts, a bounded search, an error that shows what is there."""

import os
from pathlib import Path

import pytest

from soundpost.contest.inputs import Found, locate
from soundpost.errors import SettingsError
from soundpost.resources import folders as resources_folders


def contest(folder: Path, test: str | None = "test") -> Path:
    folder.mkdir(parents=True)
    (folder / "sample_submission.csv").write_text("fname,Bark\n")
    if test:
        (folder / test).mkdir()
    return folder


@pytest.mark.parametrize("layout", ["freesound", "competitions/freesound"])
@pytest.mark.parametrize("slug", ["freesound", ""])
def test_contest_is_found_in_the_old_and_the_new_layout(tmp_path: Path, layout: str, slug: str) -> None:
    """With and without the contest's name, under either mount."""
    folder = contest(tmp_path / layout)

    assert locate(tmp_path, slug) == Found(folder / "sample_submission.csv", folder / "test")


def test_contest_named_is_preferred_to_another_dataset(tmp_path: Path) -> None:
    """A dataset with a sample submission of its own does not distract."""
    contest(tmp_path / "a-dataset")
    folder = contest(tmp_path / "competitions" / "freesound")

    assert locate(tmp_path, "freesound").sample_submission.parent == folder


@pytest.mark.parametrize(
    ("inside", "expected"), [("audio_test", "audio_test"), ("Test_clips", "Test_clips"), (None, "test")]
)
def test_folder_of_clips_is_the_one_whose_name_says_test(tmp_path: Path, inside: str | None, expected: str) -> None:
    """Contests name it differently; one that only comes in the rerun is named test."""
    folder = contest(tmp_path / "freesound", inside)
    (folder / "train").mkdir()

    assert locate(tmp_path).test_dir == folder / expected


def test_search_leaves_large_and_deep_folders_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dataset of clips is not walked, and the search ends."""
    monkeypatch.setattr(resources_folders, "MAX_PER_FOLDER", 20)
    monkeypatch.setattr(resources_folders, "MAX_ENTRIES", 50)
    for i in range(60):
        (tmp_path / "clips" / f"{i:02}").mkdir(parents=True)
    contest(tmp_path / "a" / "b" / "c" / "d" / "e" / "f" / "deep")
    looked_at: list[object] = []
    scan = os.scandir

    def counted(folder: Path) -> object:
        looked_at.append(folder)
        return scan(folder)

    monkeypatch.setattr(os, "scandir", counted)
    with pytest.raises(SettingsError, match=r"no sample_submission\.csv"):
        locate(tmp_path)

    assert 0 < len(looked_at) <= 50


def test_nothing_found_is_an_error_that_lists_what_is_there(tmp_path: Path) -> None:
    """The message shows the attached data and both ways out."""
    (tmp_path / "my-weights" / "compact").mkdir(parents=True)

    with pytest.raises(SettingsError, match=r"found there: my-weights, my-weights/compact\. Attach .*--test-dir"):
        locate(tmp_path, "freesound")


def test_input_root_that_is_absent_is_the_same_error(tmp_path: Path) -> None:
    """Outside Kaggle the message says that nothing is there."""
    with pytest.raises(SettingsError, match="found there: nothing"):
        locate(tmp_path / "absent")


def test_folder_that_may_not_be_entered_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One locked dataset does not hide the contest."""
    (tmp_path / "a-locked").mkdir()
    folder = contest(tmp_path / "freesound")
    is_file = Path.is_file

    def locked(path: Path) -> bool:
        if path.parent.name == "a-locked":
            raise PermissionError(13, "Permission denied")
        return is_file(path)

    monkeypatch.setattr(Path, "is_file", locked)

    assert locate(tmp_path).sample_submission.parent == folder
