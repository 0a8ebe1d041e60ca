"""An archive as the default engine writes it: the kernel's answers, whole parts, and remarks that are right."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
import soundfile
from archive_runs import Tag, parts_of, tagging
from conftest import LABELS, RATE, ClipMaker, RecipeMaker, SettingsMaker, waveform

import soundpost
from soundpost.archive.command import main
from soundpost.engine import run as engine
from soundpost.errors import SettingsError, WeightsError


@pytest.fixture
def weights(make_assets: RecipeMaker) -> Path:
    """Two small members of one recipe."""
    return make_assets({"folds": 2})


@pytest.fixture
def tag(weights: Path, tmp_path: Path) -> Tag:
    """The command with these weights."""
    return tagging(weights, tmp_path)


def test_archive_has_the_answers_of_the_kernel_to_the_last_bit(
    make_clips: ClipMaker, make_settings: SettingsMaker, weights: Path, tag: Tag, tmp_path: Path
) -> None:
    """Equal float32 numbers in submission.csv and in the parts; no two clips are of one length, so batches are equal.

    In larger batches the order of sums differs, here as between two runs of a kernel, and with it the last bit.
    """
    contest = make_clips([0.3 + 0.17 * i for i in range(12)])
    assert engine.run(make_settings(weights, contest)) == 0
    expected = pd.read_csv(tmp_path / "submission.csv", index_col="fname", dtype=str)

    found = tag(contest / "test", "--part", 5)

    assert list(found.index) == list(expected.index)
    for label in LABELS:
        assert found[label].dtype == np.float32
        np.testing.assert_array_equal(np.array(expected[label], np.float32), found[label].to_numpy())


def test_size_of_parts_and_order_of_clips_change_no_answer(make_clips: ClipMaker, tag: Tag) -> None:
    """A clip's row depends on the clip alone."""
    clips = sorted((make_clips() / "test").iterdir())

    one = tag(*clips, out="one.parquet")
    other = tag(*clips[::-1], "--part", 3, out="other.parquet")

    assert list(other.index) == list(one.index)[::-1]
    np.testing.assert_allclose(one[list(LABELS)], other.loc[one.index, list(LABELS)], rtol=0, atol=1e-6)


def test_embeddings_are_those_of_python(make_clips: ClipMaker, weights: Path, tag: Tag, tmp_path: Path) -> None:
    """A list of fixed size for each row, of the first member or of the one that is named."""
    clips = make_clips() / "test"
    first = tag(clips, "--embeddings", out="first.parquet")
    second = tag(clips, "--embeddings", "tiny0/2", out="second.parquet")

    tagger = soundpost.load(weights, device="cpu")
    np.testing.assert_allclose(np.stack(first["embedding"]), tagger.embed(clips), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(
        np.stack(second["embedding"]), tagger.embed(clips, member="tiny0/2"), rtol=1e-5, atol=1e-5
    )
    kind = pyarrow.parquet.read_schema(parts_of(tmp_path / "first.parquet")[0]).field("embedding").type
    assert kind.list_size == len(first["embedding"].iloc[0])


def test_top_labels_are_the_likeliest_first(make_clips: ClipMaker, tag: Tag) -> None:
    """--top 2 leaves two lists in place of the columns."""
    clips = make_clips() / "test"
    every = tag(clips, out="every.parquet")
    best = tag(clips, "--top", 2, out="best.parquet")

    for name, row in best.iterrows():
        expected = every.loc[name, list(LABELS)].astype(float).sort_values(ascending=False)[:2]
        assert list(row["top_labels"]) == list(expected.index)
        np.testing.assert_allclose(row["top_scores"], expected, rtol=0, atol=1e-6)
    assert not set(LABELS) & set(best.columns)


def test_windows_are_rows_with_begin_and_end(tag: Tag, weights: Path, tmp_path: Path) -> None:
    """2.5 s in windows of 1 s: three rows, each with the answer of that stretch alone."""
    soundfile.write(tmp_path / "long.wav", waveform(2.5, 1), RATE)
    soundfile.write(tmp_path / "short.wav", waveform(0.7, 2), RATE)

    found = tag(tmp_path / "long.wav", tmp_path / "short.wav", "--window", 1)

    assert list(found.index) == ["long.wav#t=0,1", "long.wav#t=1,2", "long.wav#t=2,2.5", "short.wav"]
    assert list(found["start"][:3]) == [0, 1, 2]
    assert np.isnan(found["start"].iloc[3])
    second = waveform(2.5, 1)[RATE : 2 * RATE]
    soundfile.write(tmp_path / "second.wav", second, RATE)
    expected = soundpost.load(weights, device="cpu").predict(tmp_path / "second.wav")
    np.testing.assert_allclose(found[list(LABELS)].iloc[1], [expected[label] for label in LABELS], rtol=0, atol=1e-5)


def test_remarks_stand_in_the_row_they_are_about(tag: Tag, tmp_path: Path) -> None:
    """What cannot be read has a reason and no probabilities; what was mended or is silent says so and has them."""
    soundfile.write(tmp_path / "fine.wav", waveform(0.5, 1), RATE)
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE, np.float32), RATE)
    soundfile.write(tmp_path / "cut.wav", waveform(1.0, 2), RATE)
    (tmp_path / "cut.wav").write_bytes((tmp_path / "cut.wav").read_bytes()[:20_000])
    (tmp_path / "empty.wav").write_bytes(b"")
    names = ["fine.wav", "silent.wav", "cut.wav", "empty.wav"]

    found = tag(*(tmp_path / name for name in names), "--embeddings")

    told = found[["unreadable", "mended", "silent", "incomplete"]].notna()
    assert told.loc["fine.wav"].sum() == 0
    assert told.loc["silent.wav"].to_dict() == {
        "unreadable": False,
        "mended": False,
        "silent": True,
        "incomplete": False,
    }
    assert told.loc["cut.wav"].to_dict() == {"unreadable": False, "mended": True, "silent": False, "incomplete": False}
    assert "0 bytes" in found.loc["empty.wav", "unreadable"]
    assert found.loc["empty.wav", list(LABELS)].isna().all()
    assert found.loc["empty.wav", "embedding"] is None
    assert found.loc[names[:3], list(LABELS)].notna().all(axis=None)


def test_status_says_that_nothing_could_be_read(tag: Tag, tmp_path: Path) -> None:
    """3, and a row with the reason all the same."""
    (tmp_path / "noise.wav").write_bytes(b"no sound")

    found = tag(tmp_path / "noise.wav", "--top", 1, status=3)

    assert "noise.wav" in found.loc["noise.wav", "unreadable"]
    assert found["top_labels"].iloc[0] is None


def test_schema_names_labels_and_members(make_clips: ClipMaker, tag: Tag, tmp_path: Path) -> None:
    """What a reader must know travels in the file."""
    tag(make_clips([0.3]) / "test")

    told = json.loads(pyarrow.parquet.read_schema(parts_of(tmp_path / "TAGS.parquet")[0]).metadata[b"soundpost"])
    assert told["labels"] == list(LABELS)
    assert told["members"] == ["tiny0/1", "tiny0/2"]


def test_folder_is_read_as_one_table(make_clips: ClipMaker, tag: Tag, tmp_path: Path) -> None:
    """pandas passes over the book and the lock."""
    rows = tag(make_clips() / "test", "--part", 5)

    assert len(parts_of(tmp_path / "TAGS.parquet")) == 3
    assert list(pd.read_parquet(tmp_path / "TAGS.parquet")["id"]) == list(rows.index)


def test_resume_makes_only_the_parts_that_are_missing(make_clips: ClipMaker, tag: Tag, tmp_path: Path) -> None:
    """Those that are there are not touched; one that was damaged is made again."""
    clips = make_clips() / "test"
    whole = tag(clips, "--part", 3)
    first, second, third, _ = parts_of(tmp_path / "TAGS.parquet")
    before = first.stat().st_mtime_ns
    second.unlink()
    third.write_bytes(third.read_bytes()[:-20])

    again = tag(clips, "--part", 3, "--resume")

    assert first.stat().st_mtime_ns == before
    pd.testing.assert_frame_equal(whole, again, check_exact=False, rtol=0, atol=1e-6)


def test_archive_that_is_there_is_not_overwritten(make_clips: ClipMaker, tag: Tag) -> None:
    """Without --resume, or with other clips or settings, it is refused by name."""
    clips = make_clips() / "test"
    tag(clips)

    with pytest.raises(SettingsError, match=r"is there already, 12 clips\. Go on with --resume"):
        tag(clips)
    with pytest.raises(SettingsError, match="belongs to other clips, weights or settings"):
        tag(clips, "--top", 1, "--resume")
    with pytest.raises(SettingsError, match="belongs to other clips, weights or settings"):
        tag(clips / "clip000.wav", "--resume")


def test_folder_of_somebody_else_is_not_written(make_clips: ClipMaker, tag: Tag, tmp_path: Path) -> None:
    """Neither a file nor a folder that holds something."""
    clips = make_clips([0.3]) / "test"
    (tmp_path / "file.parquet").write_bytes(b"PAR1")
    (tmp_path / "folder.parquet").mkdir()
    (tmp_path / "folder.parquet" / "mine.txt").write_text("mine")

    with pytest.raises(SettingsError, match="is a file, and a folder"):
        tag(clips, out="file.parquet")
    with pytest.raises(SettingsError, match=r"holds mine\.txt, which no archive wrote"):
        tag(clips, out="folder.parquet")


def test_member_that_cannot_be_used_refuses_the_archive(make_clips: ClipMaker, weights: Path, tag: Tag) -> None:
    """Half of an ensemble would answer other numbers and nobody would see it."""
    (weights / "tiny0" / "fold2.safetensors").unlink()

    with pytest.raises(WeightsError, match=r"tiny0/2 cannot be used.*name the others by --members"):
        tag(make_clips([0.3]) / "test")
    assert len(tag(make_clips([0.3], folder="other") / "test", "--members", "tiny0/1", out="one.parquet")) == 1


def test_label_called_as_a_column_is_refused(make_clips: ClipMaker, make_assets: RecipeMaker, tmp_path: Path) -> None:
    """Two columns of one name could not be told apart."""
    clips = make_clips([0.3]) / "test"
    weights = make_assets({"labels": ["Bark", "path", "Siren", "end"]}, folder="clash")

    with pytest.raises(SettingsError, match="a label is called 'path'"):
        main([str(clips), "--out", str(tmp_path / "t.parquet"), "--weights", str(weights), "--quiet"])
