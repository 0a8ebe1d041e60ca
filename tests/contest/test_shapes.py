"""Shapes of contests told apart by their files, and the submissions that they ask for."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundpost.contest.contest import read_contest
from soundpost.contest.settings import ContestSettings
from soundpost.contest.submission import Sample, check, write
from soundpost.errors import SettingsError, SubmissionError

LABELS = ("akiapo", "0012", "nan")
SAMPLES = {
    "wide_clips": "fname,akiapo,0012,nan\na.wav,0,0,0\nb.wav,0,0,0\n",
    "ranked_clips": "fname,label\na.wav,akiapo\n",
    "wide_windows": "row_id,akiapo,0012,nan\nr_5,0.1,0.1,0.1\nr_10,0.1,0.1,0.1\n",
    "window_labels": "row_id,birds\nr_5,nocall\nr_10,akiapo\n",
    "window_booleans": "row_id,target\nr_akiapo_5,False\nr_nan_5,False\nr_akiapo_10,False\n",
}
TABLE = "row_id,file_id,bird,end_time\nr_akiapo_5,r,akiapo,5\nr_nan_5,r,nan,5\nr_akiapo_10,r,akiapo,10\n"


def folder_of(shape: str, tmp_path: Path) -> tuple[Path, Path]:
    """Sample and test folder of a contest of that shape, with one recording of ten seconds."""
    sample, test_dir = tmp_path / "sample_submission.csv", tmp_path / "test_soundscapes"
    sample.write_text(SAMPLES[shape])
    if shape == "window_booleans":
        (tmp_path / "test.csv").write_text(TABLE)
    test_dir.mkdir()
    soundfile.write(test_dir / "r.wav", np.zeros(10 * 8000), 8000)
    return sample, test_dir


@pytest.mark.parametrize("shape", sorted(SAMPLES))
def test_shape_of_a_contest_is_known_and_written_valid(shape: str, tmp_path: Path) -> None:
    """Each sample finds its shape, and what is written for it passes its own check."""
    contest = read_contest(*folder_of(shape, tmp_path), LABELS, ContestSettings())
    assert contest.shape == shape
    assert (contest.windows is not None) == ("clips" not in shape)
    rows = [[0.9, 0.2, 0.6][: len(contest.sample.columns)]] * len(contest.sample.names)
    write(tmp_path / "submission.csv", contest.sample, rows)
    assert check(tmp_path / "submission.csv", contest.sample) == []
    lines = (tmp_path / "submission.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines[1:]] == [row.split(",")[0] for row in SAMPLES[shape].splitlines()[1:]]


def test_row_ids_without_audio_suffix_are_clips_unless_they_end_in_seconds(tmp_path: Path) -> None:
    """Ids such as 0012 name clips; the header row_id makes windows only of ids that end in seconds."""
    sample, _ = folder_of("wide_clips", tmp_path)
    for text in ("fname,akiapo\n0012,0\n1e5,0\n", "row_id,akiapo\nclip_001,0\n", "row_id,akiapo\nr_5.wav,0\n"):
        sample.write_text(text)
        contest = read_contest(sample, tmp_path, LABELS, ContestSettings())
        assert contest.shape == "wide_clips", text
        assert contest.sample == Sample(
            text.split(",")[0], ("akiapo",), tuple(r.split(",")[0] for r in text.split()[1:])
        )


def test_contest_settings_override_what_is_learnt(tmp_path: Path) -> None:
    """A shape, a window and a separator may be said; an unknown shape is refused with the known ones."""
    sample, test_dir = folder_of("wide_windows", tmp_path)
    sample.write_text("id,akiapo\nq-20,0.1\n")
    contest = read_contest(
        sample, test_dir, LABELS, ContestSettings(shape="wide_windows", window_seconds=2.5, separator="-")
    )
    assert contest.sample.names == ("r-2.5", "r-5", "r-7.5", "r-10")
    with pytest.raises(SettingsError, match=r"contest shape 'tall' is not known; known: ranked_clips, "):
        read_contest(sample, test_dir, LABELS, ContestSettings(shape="tall"))
    with pytest.raises(SettingsError, match="none may be negative"):
        ContestSettings(window_seconds=-5.0)


def test_booleans_of_one_window_share_their_answer(tmp_path: Path) -> None:
    """Rows of the engine are windows; lines ask for classes as the table orders them; nothing else is written."""
    contest = read_contest(*folder_of("window_booleans", tmp_path), LABELS, ContestSettings(threshold=0.3))
    assert contest.windows is not None
    assert [(place.start, place.end) for place in contest.windows.places] == [(0.0, 5.0), (5.0, 10.0)]
    assert contest.sample.columns == ("akiapo", "nan")
    write(tmp_path / "submission.csv", contest.sample, [[0.4, 0.2], [0.1, 0.9]])
    lines = (tmp_path / "submission.csv").read_text().splitlines()[1:]
    assert lines == ["r_akiapo_5,True", "r_nan_5,False", "r_akiapo_10,False"]


def test_booleans_without_a_table_are_refused(tmp_path: Path) -> None:
    """A row id alone does not tell the class from the recording."""
    sample, test_dir = folder_of("window_booleans", tmp_path)
    (tmp_path / "test.csv").unlink()
    with pytest.raises(SubmissionError, match=r"no table says which class each row asks for.*test\.csv"):
        read_contest(sample, test_dir, LABELS, ContestSettings())


def test_labels_of_two_words_are_refused_in_lists(tmp_path: Path) -> None:
    """A list with spaces between could not be read again."""
    with pytest.raises(SubmissionError, match="'two words' is not one word"):
        read_contest(*folder_of("window_labels", tmp_path), ("two words",), ContestSettings())


def test_lengths_of_recordings_come_from_their_headers(tmp_path: Path) -> None:
    """A file that is no audio counts as unreadable and gets as many rows as the others."""
    sample, test_dir = folder_of("wide_windows", tmp_path)
    (test_dir / "s.ogg").write_bytes(b"no audio")
    contest = read_contest(sample, test_dir, LABELS, ContestSettings())
    assert contest.sample.names == ("r_5", "r_10", "s_5", "s_10")
    assert contest.windows is not None
    assert contest.windows.rows.sentence() == (
        "rows of the sample keep their order; recordings that it does not name follow at the end: "
        "4 rows of 2 recordings"
    )


HARD = ("0012", "1e5", "nan", "NA", "True", "22961.0", "null", "-1")  # names that table readers change


@pytest.mark.parametrize("table", ["classes.csv", "train_metadata.csv", "taxonomy.csv"])
def test_booleans_whose_classes_look_like_numbers_are_columns_by_their_text_and_filled_by_name(
    table: str, tmp_path: Path
) -> None:
    """Codes come from the table's rows as they stand; a table of names says which label of the weights each one is."""
    lines = [f"r_{code}_{end},r,{code},{end}" for code in HARD for end in (5, 10)]
    (tmp_path / "test.csv").write_text("\n".join(["row_id,file_id,bird,end_time", *lines]) + "\n")
    sample, test_dir = tmp_path / "sample_submission.csv", tmp_path / "test_soundscapes"
    sample.write_text("row_id,target\nr_0012_5,False\n")
    test_dir.mkdir()
    soundfile.write(test_dir / "r.wav", np.zeros(10 * 8000), 8000)
    labels = [f"Species_{i} major" for i in range(len(HARD))]
    code, name = ("column", "class") if table == "classes.csv" else ("primary_label", "scientific_name")
    names = [f"{label.replace('_', ' ')},{code}" for label, code in zip(labels, HARD, strict=True)]
    (tmp_path / table).write_text("\n".join([f"{name},{code}", *names]) + "\n")

    contest = read_contest(sample, test_dir, labels, ContestSettings())

    assert contest.shape == "window_booleans"
    assert contest.sample.columns == HARD
    assert contest.synonyms == dict(zip(labels, HARD, strict=True))
    assert read_contest(sample, test_dir, HARD, ContestSettings()).synonyms == {}
    rows = np.zeros((2, len(HARD)))
    rows[1, 2] = 0.9
    write(tmp_path / "submission.csv", contest.sample, rows.tolist())
    true = [line for line in (tmp_path / "submission.csv").read_text().splitlines() if line.endswith("True")]
    assert true == ["r_nan_10,True"]


def test_lists_name_classes_by_the_codes_of_a_table_beside_the_sample(tmp_path: Path) -> None:
    """Weights that know species by name answer in the contest's own words, whatever these look like."""
    sample, test_dir = folder_of("window_labels", tmp_path)
    (tmp_path / "classes.csv").write_text("column,class\n1e5,Alder Flycatcher\n0012,Rain\n")
    contest = read_contest(sample, test_dir, ("Rain", "Alder_flycatcher", "Wind"), ContestSettings())
    assert contest.sample.columns == ("0012", "1e5", "Wind")
    assert contest.synonyms == {"Rain": "0012", "Alder_flycatcher": "1e5"}


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"column\nx\n", b"column,class\nno_such,Rain\n"])
def test_table_of_names_that_says_nothing_is_passed_over(content: bytes, tmp_path: Path) -> None:
    """Empty, no text, no names, or codes that no column has: labels fill the columns of their own names."""
    sample, test_dir = folder_of("wide_windows", tmp_path)
    (tmp_path / "classes.csv").write_bytes(content)
    assert read_contest(sample, test_dir, ("Rain", "nan"), ContestSettings()).synonyms == {}
