"""submission.csv: whole or untouched, by the sample's rows and columns, and a check that misses nothing."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from soundpost.contest.submission import RankedSample, Sample, aside, check, read_sample, write
from soundpost.errors import SubmissionError

SAMPLE = Sample("fname", ("Bark", "Rain"), ("b.wav", "a.wav", "c, d.wav"))
ROWS = [[0.25, 1.0], [0.0, 1e-30], [0.1, float(np.float32(1 / 3))]]
RANKED = RankedSample("fname", ("Bark", "Rain", "Siren", "Hi-Hat"), ("b.wav", "a.wav"))


def test_submission_repeats_rows_and_columns_in_the_samples_order(tmp_path: Path) -> None:
    """Same names, same order, no index column, Unix line ends."""
    path = tmp_path / "submission.csv"

    write(path, SAMPLE, ROWS)

    assert path.read_bytes() == (b'fname,Bark,Rain\nb.wav,0.25,1\na.wav,0,1e-30\n"c, d.wav",0.1,0.333333343\n')
    assert check(path, SAMPLE) == []
    assert read_sample(path) == SAMPLE
    assert not aside(path).exists()


def test_floats_survive_the_round_trip(tmp_path: Path) -> None:
    """Every float32 is read back as it was."""
    values = np.random.default_rng(1).random((50, 2)).astype(np.float32) ** 8
    sample = Sample("fname", ("Bark", "Rain"), tuple(f"{i}.wav" for i in range(50)))
    path = tmp_path / "submission.csv"

    write(path, sample, values.tolist())

    np.testing.assert_array_equal(values, np.loadtxt(path, np.float32, delimiter=",", skiprows=1, usecols=(1, 2)))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -0.001, 1.001])
def test_value_that_is_no_probability_leaves_the_old_file(tmp_path: Path, bad: float) -> None:
    """A defect upstream never reaches the disk."""
    path = tmp_path / "submission.csv"
    write(path, SAMPLE, ROWS)

    with pytest.raises(SubmissionError, match=r"c, d\.wav: 2 values for 2 columns, first bad value"):
        write(path, SAMPLE, [*ROWS[:2], [0.5, bad]])

    assert check(path, SAMPLE) == []
    assert "0.333333343" in path.read_text()
    assert not aside(path).exists()


@pytest.mark.parametrize("rows", [ROWS[:2], [*ROWS, [0.0, 0.0]], [*ROWS[:2], [0.5]], []])
def test_rows_or_columns_that_are_missing_leave_the_old_file(tmp_path: Path, rows: list[list[float]]) -> None:
    """A table of another size is refused."""
    path = tmp_path / "submission.csv"
    write(path, SAMPLE, ROWS)

    with pytest.raises(SubmissionError, match=r"3 rows expected|1 values for 2 columns"):
        write(path, SAMPLE, rows)

    assert check(path, SAMPLE) == []
    assert not aside(path).exists()


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_disk_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """A full or read-only disk costs the newest answers, not the file."""
    path = tmp_path / "submission.csv"
    write(path, SAMPLE, ROWS)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(OSError, match="No space left"):
        write(path, SAMPLE, [[0.5, 0.5]] * 3)

    assert "0.333333343" in path.read_text()
    assert not aside(path).exists()


def test_submission_of_no_rows_is_a_header(tmp_path: Path) -> None:
    """An empty contest is a valid one."""
    path = tmp_path / "submission.csv"

    write(path, Sample("fname", ("Bark",), ()), [])

    assert path.read_text() == "fname,Bark\n"
    assert check(path, Sample("fname", ("Bark",), ())) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("fname,Bark,Rain\nb.wav,0.25,1\n", "rows differ: 1 rows, 3 expected"),
        ("fname,Rain,Bark\nb.wav,0,0\na.wav,0,0\n" + '"c, d.wav",0,0\n', "header differs"),
        ("fname,Bark,Rain\na.wav,0,0\nb.wav,0,0\n" + '"c, d.wav",0,0\n', "rows differ"),
        ("fname,Bark,Rain\nb.wav,0,0\na.wav,,0\n" + '"c, d.wav",0,0\n', "a.wav: could not convert"),
        ("fname,Bark,Rain\nb.wav,0,0\na.wav,nan,0\n" + '"c, d.wav",0,0\n', "a.wav: 2 values"),
        ("fname,Bark,Rain\nb.wav,0,0\na.wav,2,0\n" + '"c, d.wav",0,0\n', "a.wav: 2 values"),
        ("fname,Bark,Rain\nb.wav,0,0\na.wav,0\n" + '"c, d.wav",0,0\n', "a.wav: 1 values"),
        ("fname,Bark,Rain\nb.wav,0,0\n\na.wav,0,0\n" + '"c, d.wav",0,0\n', "rows differ: 4 rows"),
        ("fname,Bark,Rain\r\nb.wav,0,0\r\na.wav,0,0\r\n" + '"c, d.wav",0,0\r\n', "line ends"),
        ("", "header differs: none"),
    ],
)
def test_check_names_what_is_wrong_with_a_file(tmp_path: Path, text: str, words: str) -> None:
    """Every way in which a file can be refused by the contest is found."""
    path = tmp_path / "submission.csv"
    path.write_bytes(text.encode())

    assert any(words in line for line in check(path, SAMPLE)), check(path, SAMPLE)


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_check_of_a_file_that_cannot_be_read_says_so(tmp_path: Path, content: bytes | None) -> None:
    """No file, or none of text, is one finding and no exception."""
    path = tmp_path / "submission.csv"
    if content is not None:
        path.write_bytes(content)

    assert [line.split(":")[0] for line in check(path, SAMPLE)] == ["cannot be read"]


def test_sample_with_byte_order_mark_and_windows_line_ends_is_read(tmp_path: Path) -> None:
    """A file that went through a spreadsheet still names its rows and columns."""
    path = tmp_path / "sample_submission.csv"
    path.write_bytes(b"\xef\xbb\xbffname,Bark,Rain\r\nb.wav,0,0\r\na.wav,0,0\r\n\r\n")

    assert read_sample(path) == Sample("fname", ("Bark", "Rain"), ("b.wav", "a.wav"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "at least one column: a column for each class, or 'label' alone, for the 3 likeliest"),
        (b"fname\na.wav\n", "no header with a name and at least one column"),
        (b"fname,label,label\na.wav,,\n", "column 'label' stands twice"),
        (b"fname,Bark,Bark\na.wav,0,0\n", "column 'Bark' stands twice"),
        (b"fname,Bark\na.wav,0\na.wav,0\n", r"row 'a\.wav' stands twice"),
        (b"fname,Bark\n\xff\xfe,0\n", "cannot be read"),
        (None, "cannot be read"),
    ],
)
def test_sample_that_is_no_table_is_refused(tmp_path: Path, content: bytes | None, words: str) -> None:
    """The message names the file and what to give instead."""
    path = tmp_path / "sample_submission.csv"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(SubmissionError, match=words):
        read_sample(path)


# ---------------------------------------------------------------- ranked


def test_ranked_submission_names_the_three_likeliest_classes_of_each_clip(tmp_path: Path) -> None:
    """The likeliest first, of equal ones the first column's; rows and header as the sample has them."""
    path = tmp_path / "submission.csv"

    write(path, RANKED, [[0.1, 0.9, 0.2, 0.3], [0.5, 0.5, 0.0, 0.5]])

    assert path.read_bytes() == b"fname,label\nb.wav,Rain Hi-Hat Siren\na.wav,Bark Rain Hi-Hat\n"
    assert check(path, RANKED) == []
    assert read_sample(path, RANKED.columns) == RANKED


def test_ranked_submission_of_two_classes_names_both(tmp_path: Path) -> None:
    """Fewer classes than places are no defect."""
    path, sample = tmp_path / "submission.csv", RankedSample("fname", ("Bark", "Rain"), ("a.wav",))

    write(path, sample, [[0.1, 0.9]])

    assert path.read_text() == "fname,label\na.wav,Rain Bark\n"
    assert check(path, sample) == []


@pytest.mark.parametrize(
    "rows", [[[0.1, 0.2, 0.3, float("nan")]] * 2, [[0.1, 0.2, 0.3]] * 2, [[0.1] * 4], [[0.1] * 4] * 3]
)
def test_ranked_rows_that_are_no_probabilities_or_missing_leave_the_old_file(
    tmp_path: Path, rows: list[list[float]]
) -> None:
    """What would not be ranked rightly is refused as in the other format."""
    path = tmp_path / "submission.csv"
    write(path, RANKED, [[0.4, 0.3, 0.2, 0.1]] * 2)
    before = path.read_bytes()

    with pytest.raises(SubmissionError, match=r"2 rows expected|\d values for 4 columns"):
        write(path, RANKED, rows)

    assert path.read_bytes() == before
    assert not aside(path).exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("fname,label\nb.wav,Bark Rain Siren\n", "rows differ: 1 rows, 2 expected"),
        ("fname,label\na.wav,Bark Rain Siren\nb.wav,Bark Rain Siren\n", "rows differ"),
        ("fname,labels\nb.wav,Bark Rain Siren\na.wav,Bark Rain Siren\n", "header differs"),
        ("fname,label\nb.wav,Bark Rain\na.wav,Bark Rain Siren\n", "b.wav: 'Bark Rain' is not 3 different known"),
        ("fname,label\nb.wav,Bark Rain Bark\na.wav,Bark Rain Siren\n", "b.wav: 'Bark Rain Bark' is not 3"),
        ("fname,label\nb.wav,Bark Rain Meow\na.wav,Bark Rain Siren\n", "b.wav: 'Bark Rain Meow' is not 3"),
        ("fname,label\nb.wav,Bark  Rain Siren\na.wav,Bark Rain Siren\n", "b.wav: 'Bark  Rain Siren' is not 3"),
        ("fname,label\nb.wav,Bark Rain Siren Hi-Hat\na.wav,Bark Rain Siren\n", "b.wav: 'Bark Rain Siren Hi-Hat'"),
        ("fname,label\nb.wav,Bark Rain Siren\na.wav,nan\n", "a.wav: 'nan' is not 3"),
        ("fname,label\nb.wav,Bark Rain Siren\na.wav,\n", "a.wav: '' is not 3"),
        ("fname,label\nb.wav,Bark Rain Siren\na.wav\n", "a.wav: '' is not 3"),
        ("fname,label\nb.wav,Bark,Rain,Siren\na.wav,Bark Rain Siren\n", "b.wav: 'Bark, Rain, Siren' is not 3"),
    ],
)
def test_check_names_what_is_wrong_with_a_ranked_file(tmp_path: Path, text: str, words: str) -> None:
    """Three different known labels with spaces between, or a finding."""
    path = tmp_path / "submission.csv"
    path.write_text(text)

    assert any(words in line for line in check(path, RANKED)), check(path, RANKED)


@pytest.mark.parametrize(("label", "words"), [("Hi Hat", "Name it 'Hi_Hat'"), ("", "'' is not one word")])
def test_ranked_sample_with_labels_that_are_not_one_word_is_refused(tmp_path: Path, label: str, words: str) -> None:
    """A space inside a label would make two of it; the message says where to name it."""
    path = tmp_path / "sample_submission.csv"
    path.write_text("fname,label\na.wav,Laughter Hi-Hat Flute\n")

    with pytest.raises(SubmissionError, match=words):
        read_sample(path, ("Bark", label))
