"""soundpost tag: per-clip and per-stretch labels as tables that other programs open, and wav files to check by ear."""

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from conftest import LABELS, RATE, RecipeMaker, waveform

import soundpost
from soundpost.contest.audio_files import find_audio_files
from soundpost.errors import SettingsError
from soundpost.tag import tables
from soundpost.tag.command import main
from soundpost.tag.detections import Choice, stretches


def tag(weights: Path, *arguments: object) -> int:
    """The command with these arguments, on the CPU and without a word."""
    return main([*map(str, arguments), "--weights", str(weights), "--device", "cpu", "--quiet"])


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Three recordings: a short one, one in a subfolder that is long enough for three windows, a damaged one."""
    folder = tmp_path / "archive"
    (folder / "deeper" / "still").mkdir(parents=True)
    soundfile.write(folder / "short.wav", waveform(0.1, 1), RATE)
    soundfile.write(folder / "deeper" / "still" / "long.flac", waveform(5.2, 2), RATE)
    (folder / "damaged.wav").write_bytes(b"no sound")
    return folder


@pytest.fixture
def weights(make_assets: RecipeMaker) -> Path:
    """One small member."""
    return make_assets({"folds": 1})


def read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path)


def test_folder_becomes_a_table_of_the_likeliest_labels(
    archive: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Subfolders included, a tenth of a second answered, the damaged file named and counted."""
    out = tmp_path / "tags.csv"

    status = main([str(archive), "--out", str(out), "--weights", str(weights), "--device", "cpu", "--top", "2"])

    printed = capsys.readouterr()
    frame = read(out)
    expected = soundpost.load(weights, device="cpu").predict(archive / "short.wav")
    best = sorted(expected, key=lambda label: -expected[label])[:2]
    assert status == 0
    assert list(frame.columns) == ["file", "start", "end", "label", "score"]
    assert list(frame["file"]) == ["short.wav"] * 2 + ["deeper/still/long.flac"] * 2
    assert list(frame["label"][:2]) == best
    assert list(frame["score"][:2]) == pytest.approx([expected[label] for label in best], abs=1e-5)
    assert list(frame["end"]) == pytest.approx([0.1, 0.1, 5.2, 5.2])
    assert f"short.wav 0.0-0.1 s: {best[0]} {expected[best[0]]:.2f}, {best[1]}" in printed.out
    assert f"{out}: 4 labels of 2 recordings, 1 not read" in printed.out
    assert "not read: damaged.wav: no audio file that can be read" in printed.err


def test_long_recording_is_answered_stretch_by_stretch(archive: Path, weights: Path, tmp_path: Path) -> None:
    """Each stretch as if it were a file of its own, with its times."""
    out = tmp_path / "tags.csv"
    long = archive / "deeper" / "still" / "long.flac"
    samples, rate = soundfile.read(long)

    tag(weights, long, "--out", out, "--top", "1", "--window", "2")

    frame = read(out)
    assert list(zip(frame["start"], frame["end"], strict=True)) == [(0.0, 2.0), (2.0, 4.0), (4.0, 5.2)]
    tagger = soundpost.load(weights, device="cpu")
    for row in frame.itertuples():
        alone = tagger.predict(samples[round(row.start * rate) : round(row.end * rate)], rate)
        assert alone[row.label] == pytest.approx(row.score, abs=1e-5)


@pytest.mark.parametrize(
    ("seconds", "choice", "expected"),
    [
        (30.0, Choice(), [(0.0, 30.0)]),
        (31.0, Choice(), [(0.0, 10.0), (10.0, 10.0), (20.0, 10.0), (30.0, 1.0)]),
        (30.4, Choice(), [(0.0, 10.0), (10.0, 10.0), (20.0, 10.4)]),
        (5.0, Choice(4.0, 2.0), [(0.0, 4.0), (2.0, 3.0)]),
        (0.0, Choice(4.0), [(0.0, 0.0)]),
    ],
)
def test_stretches_cover_a_recording(seconds: float, choice: Choice, expected: list[tuple[float, float]]) -> None:
    """Every second lies in one, none is shorter than half a second beside others."""
    np.testing.assert_allclose(stretches(seconds, choice), expected)


def test_threshold_keeps_what_is_likely_alone(archive: Path, weights: Path, tmp_path: Path) -> None:
    """A recording may have no row at all."""
    out = tmp_path / "tags.csv"
    answers = soundpost.load(weights, device="cpu").predict([archive / "short.wav"]).iloc[0]
    limit = float(answers.median())

    tag(weights, archive / "short.wav", "--out", out, "--top", "9", "--threshold", limit)

    assert set(read(out)["label"]) == set(answers.index[answers >= limit])
    assert len(read(out)) < len(LABELS)


def test_parquet_holds_what_csv_holds(archive: Path, weights: Path, tmp_path: Path) -> None:
    """The same columns, with types."""
    for kind in ("csv", "parquet"):
        tag(weights, archive, "--out", tmp_path / kind, "--format", kind)

    csv_frame, frame = read(tmp_path / "csv"), pd.read_parquet(tmp_path / "parquet")
    pd.testing.assert_frame_equal(csv_frame, frame, check_dtype=False)
    assert frame["score"].dtype == np.float64


def test_parquet_without_pyarrow_says_what_to_install(
    archive: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An extra that is not there is named."""

    def absent(self: pd.DataFrame, path: Path, index: bool) -> None:
        raise ImportError("Missing optional dependency 'pyarrow'")

    monkeypatch.setattr(pd.DataFrame, "to_parquet", absent)
    with pytest.raises(SettingsError, match=r"pip install 'soundpost\[parquet\]', or take --format csv"):
        tag(weights, archive, "--out", tmp_path / "t", "--format", "parquet")


def test_raven_table_counts_time_on_through_all_files(archive: Path, weights: Path, tmp_path: Path) -> None:
    """Begin times as Raven sees files opened one after the other; the offset within each file beside them."""
    out = tmp_path / "all.selections.txt"

    tag(weights, archive, "--out", out, "--format", "raven", "--top", "1", "--window", "3")

    rows = list(csv.DictReader(out.read_text().splitlines(), delimiter="\t"))
    assert [row["Selection"] for row in rows] == ["1", "2", "3"]
    assert [row["Begin File"] for row in rows] == ["short.wav", "long.flac", "long.flac"]
    assert [float(row["Begin Time (s)"]) for row in rows] == pytest.approx([0.0, 0.1, 3.1])
    assert [float(row["End Time (s)"]) for row in rows] == pytest.approx([0.1, 3.1, 5.3])
    assert [float(row["File Offset (s)"]) for row in rows] == pytest.approx([0.0, 0.0, 3.0])
    assert {row["High Freq (Hz)"] for row in rows} == {str(RATE // 2)}
    assert all(Path(row["Begin Path"]).is_file() and row["Label"] in LABELS for row in rows)
    assert all(0 <= float(row["Score"]) <= 1 for row in rows)


def test_each_recording_gets_a_label_track_in_its_own_folder(archive: Path, weights: Path, tmp_path: Path) -> None:
    """As Audacity imports it: begin, end, label, with tabs between."""
    each = tmp_path / "tracks"

    tag(weights, archive, "--each", each, "--format", "audacity", "--top", "1")

    files = sorted(path.relative_to(each).as_posix() for path in each.rglob("*") if path.is_file())
    assert files == ["deeper/still/long.flac.labels.txt", "short.wav.labels.txt"]
    begin, end, label = (each / files[1]).read_text().rstrip("\n").split("\t")
    assert (float(begin), float(end)) == pytest.approx((0.0, 0.1))
    assert label.split(" ")[0] in LABELS


@pytest.mark.parametrize("kind", sorted(tables.FORMATS))
def test_each_recording_gets_a_table_of_its_own_in_every_format(
    archive: Path, weights: Path, tmp_path: Path, kind: str
) -> None:
    """One file a recording, named as its format is, with that recording's rows alone and times from its beginning."""
    each = tmp_path / "each"

    tag(weights, archive, "--each", each, "--format", kind, "--top", "1", "--window", "3")

    suffix = tables.SUFFIXES[kind]
    files = sorted(path.relative_to(each).as_posix() for path in each.rglob("*") if path.is_file())
    assert files == [f"deeper/still/long.flac{suffix}", f"short.wav{suffix}"]
    long = each / files[0]
    if kind in ("csv", "parquet"):
        frame = read(long) if kind == "csv" else pd.read_parquet(long)
        times, names = list(zip(frame["start"], frame["end"], strict=True)), set(frame["file"])
        assert names == {"deeper/still/long.flac"}
    elif kind == "raven":
        rows = list(csv.DictReader(long.read_text().splitlines(), delimiter="\t"))
        times = [(float(row["Begin Time (s)"]), float(row["End Time (s)"])) for row in rows]
        assert {row["Begin File"] for row in rows} == {"long.flac"}
    else:
        times = [tuple(map(float, line.split("\t")[:2])) for line in long.read_text().splitlines()]
    assert times == [pytest.approx((0.0, 3.0)), pytest.approx((3.0, 5.2))]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_table_of_either_kind_is_gone_on_with(archive: Path, weights: Path, tmp_path: Path, kind: str) -> None:
    """--skip-existing reads back what it wrote, parquet too: the rows that were there are kept as they are."""
    out = tmp_path / "tags"
    tag(weights, archive / "short.wav", "--out", out, "--format", kind, "--top", "1")
    marked = read(out) if kind == "csv" else pd.read_parquet(out)
    marked["label"] = ["marked by hand"]
    marked.to_csv(out, index=False) if kind == "csv" else marked.to_parquet(out, index=False)

    tag(weights, archive, "--out", out, "--format", kind, "--top", "1", "--skip-existing")

    frame = read(out) if kind == "csv" else pd.read_parquet(out)
    assert list(frame["file"]) == ["short.wav", "deeper/still/long.flac"]
    assert frame["label"][0] == "marked by hand"


def test_recordings_that_a_table_has_are_not_answered_again(
    archive: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was there stays, what is new joins it, in one table as in one for each."""
    out, each = tmp_path / "tags.csv", tmp_path / "each"
    tag(weights, archive / "short.wav", "--out", out, "--skip-existing")
    before = out.read_text()
    tag(weights, archive, "--out", out, "--skip-existing")
    assert out.read_text().startswith(before)
    assert list(dict.fromkeys(read(out)["file"])) == ["short.wav", "deeper/still/long.flac"]
    assert "6 labels of 2 recordings, 1 from before, 1 not read" in capsys.readouterr().out

    tag(weights, archive, "--each", each, "--skip-existing")
    first = {path: path.stat().st_mtime_ns for path in each.rglob("*.csv")}
    tag(weights, archive, "--each", each, "--skip-existing")
    assert {path: path.stat().st_mtime_ns for path in each.rglob("*.csv")} == first


def test_interrupted_table_holds_what_was_answered(
    archive: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C costs what was not yet done; the next call goes on with --skip-existing."""
    out = tmp_path / "tags.csv"
    soundfile.write(archive / "zz_last.wav", waveform(0.3, 3), RATE)
    monkeypatch.setattr("soundpost.tag.detections.TOGETHER", 1)
    told = []

    def tell(heard: object, quiet: bool) -> None:
        told.append(heard)
        if len(told) == 2:
            raise KeyboardInterrupt("by hand")

    monkeypatch.setattr("soundpost.tag.command._tell", tell)
    with pytest.raises(KeyboardInterrupt, match="by hand"):
        tag(weights, archive, "--out", out)

    assert set(read(out)["file"]) == {"short.wav"}


@pytest.mark.parametrize("order", ["score", "loudness"])
def test_segments_are_the_best_stretches_of_each_label(
    archive: Path, weights: Path, tmp_path: Path, order: str
) -> None:
    """Cut from the recording to the sample; the most certain, or the loudest of them."""
    folder = tmp_path / "segments"
    recording = archive / "deeper" / "still" / "long.flac"
    samples, rate = soundfile.read(recording)
    samples[: 2 * rate] *= 0.1
    soundfile.write(recording, samples, rate)

    tag(
        weights,
        recording,
        "--out",
        tmp_path / "t.csv",
        "--window",
        "2",
        "--top",
        "9",
        "--segments",
        folder,
        "--segments-per-label",
        "1",
        "--segments-by",
        order,
    )

    frame = read(tmp_path / "t.csv")
    assert {path.name for path in folder.iterdir()} == set(LABELS)
    for label in LABELS:
        (file,) = (folder / label).iterdir()
        score, begin, end = file.stem.split("_")[0], *map(float, file.stem.split("_")[-1].split("-"))
        rows = frame[frame["label"] == label]
        assert begin != 0.0 or order == "score"
        if order == "score":
            assert float(score) == pytest.approx(rows["score"].max(), abs=1e-3)
        written, written_rate = soundfile.read(file)
        assert written_rate == rate
        stretch = soundfile.read(recording)[0][round(begin * rate) : round(end * rate)]
        np.testing.assert_allclose(written, stretch, atol=1 / 32768)


def test_nothing_readable_is_status_three(archive: Path, weights: Path, tmp_path: Path) -> None:
    """An empty table is not a success."""
    out = tmp_path / "t.csv"
    assert tag(weights, archive / "damaged.wav", "--out", out) == 3
    assert out.read_text() == "file,start,end,label,score\n"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--format", "audacity"], "belongs to one recording. Give --each FOLDER"),
        (["--out", "a", "--each", "b"], "Give one of the two"),
        (["--hop", "1"], "--hop with --window only"),
        (["--window", "1", "--hop", "2"], "--hop 2.0 is longer than --window 1.0"),
        (["--top", "0"], "give counts from 1 on"),
        (["--threshold", "1.5"], "a probability from 0 to 1"),
    ],
)
def test_options_that_make_no_sense_are_refused(archive: Path, options: list[str], words: str) -> None:
    """Before weights are read."""
    with pytest.raises(SettingsError, match=words):
        main([str(archive), *options])


def test_table_that_cannot_be_written_or_read_is_refused(archive: Path, weights: Path, tmp_path: Path) -> None:
    """With the file, and what to do."""
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SettingsError, match="cannot be written"):
        tag(weights, archive, "--out", tmp_path / "file" / "t.csv")
    with pytest.raises(SettingsError, match="is no table of this format"):
        tag(weights, archive, "--out", tmp_path / "file", "--skip-existing")
    (tmp_path / "r.txt").write_text("")
    with pytest.raises(SettingsError, match="--skip-existing with one table of format raven"):
        tag(weights, archive, "--out", tmp_path / "r.txt", "--format", "raven", "--skip-existing")


def test_recordings_of_the_same_name_in_two_folders_are_told_apart(tmp_path: Path) -> None:
    """Each has a name of its own, below any --each folder; one that is named twice comes once."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        soundfile.write(tmp_path / folder / "x.wav", waveform(0.1, 1), RATE)

    found = find_audio_files([tmp_path / "a", tmp_path / "b", tmp_path / "b" / "x.wav"])

    assert len({recording.name for recording in found}) == len(found) == 2
    assert not any(recording.name.startswith(("/", "..")) for recording in found)


def test_every_format_has_a_suffix() -> None:
    """A new format is one function and one suffix."""
    assert set(tables.FORMATS) == set(tables.SUFFIXES)
