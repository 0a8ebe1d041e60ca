"""The weights that travel with the code over made contests of every year, and how they rank rows they never heard."""

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from soundpost.contest.check import check_submission
from soundpost.evaluation.contest_metrics import macro_roc_auc

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
UNHEARD = "compact/1"  # the fold whose network was trained without the clips of fold 1
LEAST_AUC = 0.80

pytestmark = [
    pytest.mark.slow,
    pytest.mark.requires_shared,
    pytest.mark.skipif(not (DATA / "make_soundscapes.py").is_file(), reason="the maker of soundscapes is not here"),
]


def make(out: Path, *options: str) -> Path:
    """A made contest of clips of fold 1; its test folder."""
    command = [sys.executable, str(DATA / "make_soundscapes.py"), "--clips", str(DATA / "esc10" / "clips")]
    command += ["--classes", str(DATA / "esc10" / "clips.csv"), "--folds", "1", "--out", str(out), *options]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return next(out.glob("test_*/"))


def answer(contest: Path, test_dir: Path, *options: str) -> tuple[int, str]:
    """One run of the committed weights; its status and log."""
    command = [sys.executable, "-m", "soundpost.launch.main", "--test-dir", str(test_dir), "--device", "cpu"]
    command += ["--sample-submission", str(contest / "sample_submission.csv"), "--out", str(contest / "answer.csv")]
    command += ["--progress", "lines", "--scratch", str(contest), "--members", UNHEARD, "--views", "1", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def rows_of(path: Path) -> tuple[list[str], dict[str, list[str]]]:
    with path.open(newline="") as file:
        header, *lines = csv.reader(file)
    return header, {line[0]: line[1:] for line in lines}


@pytest.mark.parametrize("grammar", ["2020", "2021", "2022", "2023", "2024", "2025", "2026"])
def test_contest_of_any_year_is_answered_as_its_files_ask(grammar: str, tmp_path: Path) -> None:
    """Unconfigured, with a stub sample and odd recordings: every row of the solution or the truth, in its format."""
    odd = "stereo,silence,not_audio,zero_length,short" if grammar in ("2024", "2026") else ""
    # A recording that cannot be read has as many rows as most, so lengths are alike where there are such.
    lengths = ["--seconds", "20", "--odd", odd] if odd else ["--seconds", "20,11,6"]
    options = ["--grammar", grammar, "--n", "3", "--seed", "5", *lengths]
    test_dir = make(tmp_path, *options)
    status, said = answer(tmp_path, test_dir)
    assert status == 0, said
    verdict = check_submission(tmp_path / "answer.csv", tmp_path / "sample_submission.csv", test_dir)
    assert verdict.refusals == (), said
    truth = tmp_path / ("solution.csv" if (tmp_path / "solution.csv").is_file() else "truth.csv")
    (header, expected), (given, found) = rows_of(truth), rows_of(tmp_path / "answer.csv")
    assert header == given
    assert set(expected) == set(found)


@pytest.mark.parametrize("grammar", ["2025", "2026"])
def test_columns_that_look_like_numbers_are_filled_by_the_taxonomy(grammar: str, tmp_path: Path) -> None:
    """Names that table readers change come back as they stood, and the taxonomy says which species they are."""
    options = ["--grammar", grammar, "--n", "2", "--seconds", "10", "--numeric-classes", "hard", "--sample", "full"]
    test_dir = make(tmp_path, *options)
    status, said = answer(tmp_path, test_dir)
    assert status == 0, said
    header, _ = rows_of(tmp_path / "sample_submission.csv")
    given, found = rows_of(tmp_path / "answer.csv")
    assert header == given
    values = np.array(list(found.values()), float)
    assert (np.ptp(values, axis=0) > 0).all(), said


@pytest.mark.parametrize("grammar", ["2020", "2021", "2022", "2023", "2024"])
def test_classes_that_look_like_numbers_are_filled_by_a_table_of_names(grammar: str, tmp_path: Path) -> None:
    """In years without a taxonomy classes.csv tells the codes: words, columns and booleans are the solution's."""
    options = ["--grammar", grammar, "--n", "3", "--seconds", "20", "--seed", "5", "--numeric-classes", "hard"]
    test_dir = make(tmp_path, *options)
    status, said = answer(tmp_path, test_dir)
    assert status == 0, said
    truth = tmp_path / ("solution.csv" if (tmp_path / "solution.csv").is_file() else "truth.csv")
    (header, expected), (given, found) = rows_of(truth), rows_of(tmp_path / "answer.csv")
    assert (header, set(expected)) == (given, set(found))
    assert len({tuple(row) for row in found.values()}) > 1, said
    if grammar in ("2020", "2021", "2022"):  # most of what is said to be heard is
        heard = [(word, expected[row][0]) for row, cells in found.items() for word in cells[0].split()]
        heard = [(word, true) for word, true in heard if word not in ("False", "nocall")]
        assert np.mean([word in true.split() for word, true in heard]) > 0.3, (heard, said)  # one in ten by chance


def test_rows_of_recordings_that_were_not_heard_are_ranked(tmp_path: Path) -> None:
    """The network without fold 1 on soundscapes of fold 1: macro ROC-AUC over all rows."""
    test_dir = make(tmp_path, "--n", "14", "--seed", "3", "--events", "8")
    status, said = answer(tmp_path, test_dir)
    assert status == 0, said
    (header, truth), (_, found) = rows_of(tmp_path / "truth.csv"), rows_of(tmp_path / "answer.csv")
    assert header[0] == "row_id"
    expected, actual = (np.array([table[row] for row in truth], float) for table in (truth, found))
    assert macro_roc_auc(expected, actual) >= LEAST_AUC
