"""Weights that come by a dataset: found by their bytes in any layout; named when cut, altered or absent."""

import hashlib
from pathlib import Path

import pytest

from soundpost.ensemble import attached as module
from soundpost.ensemble.attached import Attached
from soundpost.ensemble.recipes import Member
from soundpost.errors import WeightsError
from soundpost.resources import folders

CONTENT = {"1": b"first fold", "2": b"other fold", "3": b"third fold"}  # all of one size


def _member(fold: str) -> Member:
    data = CONTENT[fold]
    return Member("big", fold, f"big-{fold}.safetensors", hashlib.sha256(data).hexdigest(), {}, len(data))


MEMBERS = tuple(map(_member, CONTENT))


def _attached(root: Path) -> Attached:
    return Attached(root, MEMBERS, "somebody/soundpost-weights")


def _mount(folder: Path, **files: bytes) -> Path:
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


@pytest.mark.parametrize(
    "layout", ["soundpost-weights", "datasets/somebody/soundpost-weights", "datasets/somebody/other-name/deeper/still"]
)
def test_attached_files_are_found_in_every_layout_under_any_name(tmp_path: Path, layout: str) -> None:
    """Neither folder nor file name counts; of files of one size the right bytes are taken for each member."""
    _mount(tmp_path / layout, a=CONTENT["3"], b=CONTENT["1"], c=CONTENT["2"])

    attached = _attached(tmp_path)

    assert [attached.path(member).name for member in MEMBERS] == ["b", "c", "a"]


def test_attached_altered_file_is_named(tmp_path: Path) -> None:
    """Another version of the dataset has files of the same name; what differs is said, and the rest is used."""
    _mount(tmp_path / "weights", **{"big-1.safetensors": b"first fald", "big-2.safetensors": CONTENT["2"]})
    attached = _attached(tmp_path)

    with pytest.raises(WeightsError, match=r"member big/1: .*weights/big-1\.safetensors was altered\. Attach the"):
        attached.path(MEMBERS[0])
    assert attached.path(MEMBERS[1]).name == "big-2.safetensors"


def test_attached_partial_file_is_named_with_its_bytes(tmp_path: Path) -> None:
    """An upload that broke off is told from one that was never made."""
    _mount(tmp_path / "weights", **{"big-1.safetensors": b"first"})

    with pytest.raises(WeightsError, match=r"big-1\.safetensors holds 5 of 10 bytes\. Attach .* newest version"):
        _attached(tmp_path).path(MEMBERS[0])


def test_attached_absent_file_names_dataset_to_attach(tmp_path: Path) -> None:
    """Which dataset is missing is in the message."""
    with pytest.raises(WeightsError, match=r"of 10 bytes is not under .* the dataset somebody/soundpost-weights"):
        _attached(tmp_path / "absent").path(MEMBERS[0])


def test_attached_contents_list_the_folders_there_are(tmp_path: Path) -> None:
    """When no member is left, the person sees what Kaggle mounted."""
    _mount(tmp_path / "competitions" / "freesound" / "test")
    attached = _attached(tmp_path)
    with pytest.raises(WeightsError, match="is not under"):
        attached.path(MEMBERS[0])

    assert "there is: competitions, competitions/freesound, competitions/freesound/test. Attach" in attached.contents()


def test_attached_search_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dataset of a hundred thousand clips is looked into and left; files behind it are still found."""
    monkeypatch.setattr(folders, "MAX_PER_FOLDER", 20)
    crowd = _mount(tmp_path / "a-crowd", **{f"{i:03}.wav": b"0123456789" for i in range(100)})
    _mount(tmp_path / "weights", x=CONTENT["1"])
    hashed: list[Path] = []
    sha256_of = module.sha256_of

    def counted(path: Path) -> str:
        hashed.append(path)
        return sha256_of(path)

    monkeypatch.setattr(module, "sha256_of", counted)

    assert _attached(tmp_path).path(MEMBERS[0]).name == "x"
    assert sum(path.parent == crowd for path in hashed) == 20
