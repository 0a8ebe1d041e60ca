"""soundpost check: what Kaggle would refuse, by its own names, and what it would score without a word."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundpost.contest.check import NOT_FOUND, SCORING_ERROR, check_submission

HEADER = "row_id,a,0012\n"


@pytest.fixture
def contest(tmp_path: Path) -> Path:
    """A stub sample of a recording that is not there, and a folder with one of ten seconds."""
    (tmp_path / "test").mkdir()
    (tmp_path / "sample_submission.csv").write_text(HEADER + "x_5,0.5,0.5\n")
    soundfile.write(tmp_path / "test" / "r.wav", np.zeros(80000), 8000)
    return tmp_path


def verdict(contest: Path, text: str | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Refusals and warnings for a submission of that text."""
    if text is not None:
        (contest / "submission.csv").write_text(text)
    found = check_submission(contest / "submission.csv", contest / "sample_submission.csv", contest / "test")
    return found.refusals, found.warnings


def test_check_of_a_valid_submission_says_nothing(contest: Path) -> None:
    """Rows of the folder, as the stub names none of its recordings."""
    assert verdict(contest, HEADER + "r_5,0.1,0.2\nr_10,0.3,0.1\n") == ((), ())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, f"{NOT_FOUND}: there is no"),
        (
            "row_id,a,12\nr_5,0.1,0.2\nr_10,0.3,0.1\n",
            f"{SCORING_ERROR}: columns differ: missing 0012, not asked for 12",
        ),
        (HEADER + "r_5,0.1,0.2\n", f"{SCORING_ERROR}: 1 rows are missing: r_10"),
        (HEADER + "r_5,0.1,0.2\nr_10,0.1,0.3\nx_5,0.1,0.2\n", f"{SCORING_ERROR}: 1 rows are not asked for: x_5"),
        (HEADER + "r_5,0.1,0.2\nr_5,0.1,0.2\nr_10,0.3,0.1\n", f"{SCORING_ERROR}: 1 rows stand twice"),
        (HEADER + "r_5,0.1,\nr_10,0.3,0.1\n", f"{SCORING_ERROR}: 1 rows hold what cannot be scored, the first r_5"),
        (HEADER + "r_5,0.1,nan\nr_10,0.3,0.1\n", f"{SCORING_ERROR}: 1 rows hold what cannot be scored"),
    ],
)
def test_check_of_a_wrong_submission_names_what_kaggle_would(contest: Path, text: str | None, expected: str) -> None:
    """One refusal each, under Kaggle's own name."""
    refusals, _ = verdict(contest, text)
    assert len(refusals) == 1
    assert refusals[0].startswith(expected), refusals


def test_check_of_constant_columns_warns(contest: Path) -> None:
    """A column in which all rows say the same would be scored without a word."""
    refusals, warnings = verdict(contest, HEADER + "r_5,0.1,0.2\nr_10,0.3,0.2\n")
    assert refusals == ()
    assert len(warnings) == 1
    assert warnings[0].startswith("1 of 2 columns say the same in every row: 0012.")
