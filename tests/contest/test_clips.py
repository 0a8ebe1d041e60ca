"""Clips: rows of the sample submission meet the files of a folder, and the order never changes."""

import os
from pathlib import Path

import pytest

from soundpost.contest.clips import find_clips, list_folder


def folder_of(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).write_bytes(b"1234")
    return root


def found(names: tuple[str, ...], folder: Path, **others: int) -> list[str | None]:
    return [clip.path.name if clip.path else None for clip in find_clips(names, folder, **others).clips]


def test_clips_keep_the_order_of_their_rows(tmp_path: Path) -> None:
    """Neither names nor sizes re-order the submission."""
    names = ("b.wav", "c.wav", "a.wav")
    clips = find_clips(names, folder_of(tmp_path, *names)).clips

    assert tuple(clip.name for clip in clips) == names
    assert [clip.n_bytes for clip in clips] == [4, 4, 4]


@pytest.mark.parametrize(
    ("row", "file"),
    [
        ("a.wav", "a.WAV"),
        ("a.wav", "A.wav"),
        ("A.WAV", "a.wav"),
        ("a.wav", "a.flac"),
        ("a.wav", "a.ogg"),
        ("a", "a.wav"),
        ("a.wav", "a.m4a"),
        ("a", "a.WEBM"),
        ("a.wma", "a.mka"),
        ("a.mp3", "a.Wav"),
        ("1.5", "1.5.wav"),
    ],
)
def test_row_finds_its_file_with_another_case_or_suffix(tmp_path: Path, row: str, file: str) -> None:
    """Contests write wav and ship flac; one file is meant."""
    assert found((row,), folder_of(tmp_path, file)) == [file]


def test_row_prefers_the_file_that_is_written_exactly_so(tmp_path: Path) -> None:
    """Looser matches count only where there is no exact one."""
    folder = folder_of(tmp_path, "a.wav", "A.wav", "a.flac")

    assert found(("a.wav", "A.wav", "a.flac"), folder) == ["a.wav", "A.wav", "a.flac"]


def test_rows_without_a_file_and_files_without_a_row_are_told(tmp_path: Path) -> None:
    """Missing clips have no path; audio files in no row are counted, other files are not."""
    folder = folder_of(tmp_path, "a.wav", "stray.wav", "stray.ogg", "notes.txt")
    result = find_clips(("a.wav", "missing.wav", "notes.wav"), folder)

    assert [clip.path is None for clip in result.clips] == [False, True, True]
    assert result.n_strays == 2


def test_folder_named_like_a_clip_is_no_clip(tmp_path: Path) -> None:
    """A directory cannot be decoded, so it is missing."""
    (tmp_path / "a.wav").mkdir()

    assert found(("a.wav", ""), tmp_path) == [None, None]


def test_folder_of_thousands_of_strangers_is_looked_at_only_so_far(tmp_path: Path) -> None:
    """Exact names are found in any folder; the rest of a huge one is not listed, and that is said."""
    folder = folder_of(tmp_path, "a.wav", *(f"x{i}.wav" for i in range(3000)))

    result = find_clips(("a.wav", "B.wav"), folder, max_listing=1000)

    assert [clip.path and clip.path.name for clip in result.clips] == ["a.wav", None]
    assert result.n_strays == -1
    assert find_clips(("a.wav",), folder).n_strays == 3000


@pytest.mark.parametrize("kind", ["absent", "file", "locked"])
def test_folder_that_cannot_be_read_has_no_clips_and_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Rows without files get the priors; the submission is written all the same."""
    folder = tmp_path / "test"
    if kind == "file":
        folder.write_text("no folder")
    elif kind == "locked":
        folder_of(tmp_path).joinpath("test").mkdir()

        def locked(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(os, "scandir", locked)
        monkeypatch.setattr(os, "stat", locked)
        monkeypatch.setattr(Path, "stat", locked)

    result = find_clips(("a.wav",), folder)

    assert result.clips[0].path is None
    assert result.n_strays == 0
    assert list_folder(folder) == ()


def test_folder_without_a_sample_lists_its_audio_files_sorted(tmp_path: Path) -> None:
    """Without a sample submission the files are the rows."""
    assert list_folder(folder_of(tmp_path, "b.wav", "a.FLAC", "notes.txt")) == ("a.FLAC", "b.wav")


def test_no_rows_are_no_clips(tmp_path: Path) -> None:
    """An empty sample submission is met with nothing."""
    assert find_clips((), tmp_path).clips == ()
