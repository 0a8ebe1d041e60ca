"""The clips of an archive: every way to name them, each once, each under an id of its own."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import soundfile
from archive_runs import tagging
from conftest import RATE, RecipeMaker, waveform

from soundpost.archive.clip_list import list_clips
from soundpost.errors import SettingsError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two clips, one of them deeper."""
    root = tmp_path / "clips"
    (root / "deep").mkdir(parents=True)
    for name, seed in (("a.wav", 1), ("deep/b.flac", 2)):
        soundfile.write(root / name, waveform(2.0, seed), RATE)
    (root / "notes.txt").write_text("no clip")
    return root


def ids(*places: object, root: str = "") -> list[str]:
    return list_clips([str(place) for place in places], root)["id"].to_pylist()


def test_folders_files_and_globs_name_each_clip_once(folder: Path) -> None:
    """Below a folder by its path there, a file by its name."""
    assert ids(folder) == ["a.wav", "deep/b.flac"]
    assert ids(folder, folder / "a.wav") == ["a.wav", "deep/b.flac"]
    assert ids(f"{folder}/**/*.flac") == ["b.flac"]
    assert ids(f"{folder}/[ab].wav") == ["a.wav"]


def test_clips_of_one_name_are_called_by_their_paths(folder: Path, tmp_path: Path) -> None:
    """Two folders with an a.wav each."""
    other = tmp_path / "other" / "a.wav"
    other.parent.mkdir()
    soundfile.write(other, waveform(1.0, 3), RATE)

    assert ids(folder / "a.wav", other) == [str(folder / "a.wav"), str(other)]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_table_of_paths_gives_offsets(kind: str, folder: Path) -> None:
    """Start and end, or start and duration; paths are relative to the table, or to --root."""
    frame = pd.DataFrame(
        {"file": ["a.wav", "a.wav", "deep/b.flac"], "start": [0.5, None, 1.0], "duration": [0.5, None, None]}
    )
    table = folder / f"list.{kind}"
    frame.to_csv(table, index=False) if kind == "csv" else frame.to_parquet(table, index=False)

    found = list_clips([str(table)])

    assert found["id"].to_pylist() == ["a.wav#t=0.5,1", "a.wav", "deep/b.flac#t=1"]
    assert found["path"].to_pylist() == [str(folder / name) for name in ("a.wav", "a.wav", "deep/b.flac")]
    assert found["start"].to_pylist() == [0.5, None, 1.0]
    assert found["end"].to_pylist() == [1.0, None, None]
    assert list_clips([str(table)], root="s3://bucket/x")["path"][0].as_py() == "s3://bucket/x/a.wav"


def test_ids_that_look_like_numbers_stay_text(folder: Path) -> None:
    """00012 is no 12."""
    (folder / "list.csv").write_text("id,path\n00012,a.wav\n00013,deep/b.flac\n")

    assert ids(folder / "list.csv") == ["00012", "00013"]


def test_id_that_two_rows_have_gives_way_to_their_paths(folder: Path) -> None:
    """Ids stay unique whatever a table says."""
    (folder / "list.csv").write_text("id,path\nx,a.wav\nx,deep/b.flac\n")

    assert ids(folder / "list.csv") == [str(folder / "a.wav"), str(folder / "deep/b.flac")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,length\na,1\n", "has columns id, length, and none of paths"),
        ('path\n""\nx.wav\n', "row 1 has no path"),
        ("path,start,end\na.wav,2,1\n", r"row 1 goes from 2\.0 to 1\.0 s"),
        ("path,start\na.wav,soon\n", "row 1 has offsets that are no numbers"),
    ],
)
def test_table_that_cannot_be_used_is_refused_by_row(text: str, message: str, folder: Path) -> None:
    """What is wrong, where, and what to do."""
    (folder / "list.csv").write_text(text)
    with pytest.raises(SettingsError, match=message):
        ids(folder / "list.csv")


def test_places_that_are_not_there_are_refused(folder: Path) -> None:
    """A path, a pattern, an address, a table."""
    with pytest.raises(SettingsError, match="neither a file nor a folder"):
        ids(folder / "gone.wav")
    with pytest.raises(SettingsError, match="nothing matches"):
        ids(f"{folder}/*.opus")
    with pytest.raises(SettingsError, match="no audio file at"):
        ids(f"file://{folder}/gone.wav")
    with pytest.raises(SettingsError, match="is no table that can be read"):
        ids(folder / "gone.csv")
    with pytest.raises(SettingsError, match=r"cannot be read here.*pip install 'soundpost\[archive\]'"):
        ids("nosuchsystem://bucket/a.wav")


def test_addresses_are_fetched_and_answered_as_files_are(
    folder: Path, make_assets: RecipeMaker, tmp_path: Path
) -> None:
    """Whatever fsspec reads: here file://, alone, as a folder, and beside one that cannot be fetched."""
    tag = tagging(make_assets({"folds": 1}), tmp_path)
    here = tag(folder, out="here.parquet")
    (folder / "list.csv").write_text(f"path,start\nfile://{folder}/a.wav,\nfile://{folder}/gone.wav,\n")

    remote = tag(f"file://{folder}", out="remote.parquet")
    listed = tag(folder / "list.csv", out="listed.parquet")

    assert list(remote.index) == list(here.index)
    columns = [c for c in here if here[c].dtype == "float32"]
    pd.testing.assert_frame_equal(here[columns], remote[columns], check_exact=False, rtol=0, atol=1e-6)
    assert "gone.wav: cannot be fetched from file://" in listed["unreadable"].iloc[1]
    assert listed["unreadable"].isna().iloc[0]


def test_offsets_are_heard_as_files_of_their_own(folder: Path, make_assets: RecipeMaker, tmp_path: Path) -> None:
    """Half a second from the middle, and what is behind a begin without an end."""
    tag = tagging(make_assets({"folds": 1}), tmp_path)
    samples = waveform(2.0, 1)
    soundfile.write(tmp_path / "half.wav", samples[RATE // 2 : RATE], RATE)
    soundfile.write(tmp_path / "rest.wav", samples[RATE:], RATE)
    (folder / "list.csv").write_text("path,start,end\na.wav,0.5,1\na.wav,1,\n")

    found = tag(folder / "list.csv", out="stretches.parquet")
    expected = tag(tmp_path / "half.wav", tmp_path / "rest.wav", out="files.parquet")

    columns = [c for c in found if found[c].dtype == "float32"]
    assert abs(found[columns].to_numpy() - expected[columns].to_numpy()).max() < 1e-5


def test_help_of_the_usual_tag_needs_no_pyarrow() -> None:
    """What only archives need is imported when one is asked for."""
    code = "import sys; from soundpost.tag import command; command.parser(); print('pyarrow' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert printed.strip() == "False"
