"""soundpost check on the command line: statuses by the verdict, and with --truth the score of the contest's shape."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundpost.contest.check import NOT_FOUND
from soundpost.evaluation.check_command import main
from soundpost.evaluation.contest_metrics import macro_roc_auc

Check = Callable[..., int]


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """Writes sample, submission and truth, makes a recording of ten seconds, and runs the command."""
    (tmp_path / "test").mkdir()
    soundfile.write(tmp_path / "test" / "r.wav", np.zeros(80000), 8000)

    def run(sample: str, submission: str | None, truth: str | None = None) -> int:
        for name, text in (("sample", sample), ("submission", submission), ("truth", truth)):
            if text is not None:
                (tmp_path / f"{name}.csv").write_text(text)
        given = [str(tmp_path / "submission.csv"), "--sample", str(tmp_path / "sample.csv")]
        more = ["--truth", str(tmp_path / "truth.csv")] if truth is not None else []
        return main([*given, "--test-dir", str(tmp_path / "test"), *more])

    return run


WIDE = "fname,Bark,Rain,Siren\n"
ANSWERS = WIDE + "a.wav,0.9,0.1,0.2\nb.wav,0.3,0.5,0.4\nc.wav,0.1,0.1,0.9\n"


def test_check_ends_by_the_verdict(check: Check, capsys: pytest.CaptureFixture[str]) -> None:
    """0 when it would be scored, 1 when not, 2 when the sample itself cannot be read."""
    assert check(WIDE + "a.wav,0,0,0\n", None) == 1
    assert capsys.readouterr().out.startswith(NOT_FOUND)
    assert check(WIDE + "a.wav,0,0,0\n", WIDE + "a.wav,0.1,0.2,0.3\n") == 0
    assert "what the contest asks for" in capsys.readouterr().out
    assert check("", WIDE + "a.wav,0.1,0.2,0.3\n") == 2
    assert "no header" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("sample", "submission", "truth", "expected"),
    [
        # a ranks its label first, b its two second and third: (1 + 1/2 + 2/3) / 3; d is in no row.
        (
            WIDE + "a.wav,0,0,0\nb.wav,0,0,0\nc.wav,0,0,0\n",
            ANSWERS,
            'fname,labels\na.wav,Bark\nb.wav,"Bark,Siren"\nd.wav,Rain\n',
            "lwlrap 0.7222, accuracy 0.5000 over 2 rows with a label; 1 of the truth are in no row",
        ),
        # the same truth as cells: c has no label and counts for nothing
        (
            WIDE + "a.wav,0,0,0\nb.wav,0,0,0\nc.wav,0,0,0\n",
            ANSWERS,
            WIDE + "a.wav,1,0,0\nb.wav,1,0,1\nc.wav,0,0,0\n",
            "lwlrap 0.7222, accuracy 0.5000 over 2 rows with a label",
        ),
        # the label is first in one row and second in the other: (1 + 1/2) / 2
        (
            "fname,label\na.wav,Bark\nb.wav,Bark\n",
            "fname,label\na.wav,Bark Rain Siren\nb.wav,Rain Bark Siren\n",
            "fname,labels\na.wav,Bark\nb.wav,Bark\n",
            "MAP@3 0.7500 over 2 clips",
        ),
    ],
    ids=["labels", "cells", "ranked"],
)
def test_check_with_a_truth_scores_by_the_shape_of_the_contest(
    check: Check, capsys: pytest.CaptureFixture[str], sample: str, submission: str, truth: str, expected: str
) -> None:
    """Each number was worked out by hand."""
    assert check(sample, submission, truth) == 0
    assert capsys.readouterr().out.splitlines()[-1] == expected


def test_check_of_windows_with_a_truth_ranks_all_rows(check: Check, capsys: pytest.CaptureFixture[str]) -> None:
    """Rows without a label count in a ranking of rows, and in no ranking of classes."""
    header, answers, truth = "row_id,a,b\n", "r_5,0.1,0.7\nr_10,0.3,0.6\n", "r_5,0,1\nr_10,0,0\n"

    assert check(header + "x_5,0,0\n", header + answers, header + truth) == 0

    area = macro_roc_auc(np.array([[0, 1], [0, 0]]), np.array([[0.1, 0.7], [0.3, 0.6]]))
    expected = f"macro ROC-AUC {area:.4f}, lwlrap 1.0000, accuracy 1.0000 over 1 rows with a label"
    assert capsys.readouterr().out.splitlines()[-1] == expected


def test_check_of_lists_of_labels_with_a_truth_is_their_f1(check: Check, capsys: pytest.CaptureFixture[str]) -> None:
    """One row is right, of the other one word of two: (1 + 2/3) / 2."""
    header = "row_id,birds\n"

    assert check(header + "x_5,nocall\n", header + "r_5,nocall\nr_10,a\n", header + "r_5,nocall\nr_10,a b\n") == 0

    assert capsys.readouterr().out.splitlines()[-1] == "row-wise F1 0.8333 over 2 rows"


@pytest.mark.parametrize(
    ("truth", "words"),
    [
        ("fname,labels\nz.wav,Bark\n", "--truth: none of its rows is in the submission, whose first is 'a.wav' where"),
        ("fname,labels\na.wav,Meow\n", "labels Meow; known: Bark, Rain, Siren"),
        (WIDE + "a.wav,x,0,0\n", "Write 0 or 1 in every cell."),
    ],
)
def test_truth_that_cannot_be_used_is_refused(
    check: Check, capsys: pytest.CaptureFixture[str], truth: str, words: str
) -> None:
    """By status 2, with what to give instead."""
    assert check(WIDE + "a.wav,0,0,0\n", WIDE + "a.wav,0.1,0.2,0.3\n", truth) == 2
    assert words in capsys.readouterr().err
