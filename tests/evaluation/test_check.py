"""soundpost check: a submission against the sample it must repeat, and against a truth."""

from pathlib import Path

import pytest
from conftest import LABELS, RecipeMaker, write_sample

from soundpost.errors import SettingsError, SubmissionError
from soundpost.evaluation.check import main

NAMES = ("a.wav", "b.wav")


def submission(folder: Path, *rows: str, header: str = ",".join(["fname", *LABELS])) -> str:
    path = folder / "submission.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return str(path)


def sample(folder: Path) -> str:
    return str(write_sample(folder / "sample_submission.csv", NAMES))


def test_valid_submission_is_said_to_be_and_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """lwlrap by the kit's metric, over the clips that both know."""
    path = submission(tmp_path, "a.wav,0.9,0.1,0.2,0.3", "b.wav,0.9,0.8,0.2,0.3")
    (tmp_path / "truth.csv").write_text("fname,labels\na.wav,Bark\nb.wav,Rain\nz.wav,Siren\n")

    assert main([path, "--sample", sample(tmp_path), "--truth", str(tmp_path / "truth.csv")]) == 0

    printed = capsys.readouterr().out
    assert "submission.csv: valid, 2 rows, 4 labels" in printed
    assert "lwlrap 0.7500, accuracy 0.5000 over 2 clips, 1 more are in no row" in printed


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (("a.wav,0.9,0.1,0.2,1.3", "b.wav,0.9,0.8,0.2,0.3"), "a.wav: 4 values, of which some are missing, not finite"),
        (("b.wav,0.9,0.8,0.2,0.3", "a.wav,0.9,0.1,0.2,0.3"), "rows differ"),
        (("a.wav,0.9,0.1,0.2,0.3",), "1 rows, 2 expected"),
    ],
)
def test_fault_of_a_submission_is_named_and_status_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: tuple[str, ...], words: str
) -> None:
    """Each in a line of its own, then how many there are."""
    assert main([submission(tmp_path, *rows), "--sample", sample(tmp_path)]) == 1
    printed = capsys.readouterr().out
    assert words in printed
    assert "submission.csv: not valid, 1 faults" in printed


def test_submission_that_names_labels_is_scored_by_map_at_3(
    tmp_path: Path, make_assets: RecipeMaker, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its labels are those of the weights."""
    path = submission(tmp_path, "a.wav,Rain Bark Siren", "b.wav,Bark Siren Tick-tock", header="fname,label")
    sample_path = tmp_path / "ranked.csv"
    sample_path.write_text("fname,label\na.wav,x\nb.wav,x\n")
    (tmp_path / "truth.csv").write_text("fname,labels\na.wav,Bark\nb.wav,Rain\n")
    options = ["--sample", str(sample_path), "--weights", str(make_assets({})), "--truth", str(tmp_path / "truth.csv")]

    assert main([path, *options]) == 0
    assert "MAP@3 0.2500 over 2 clips" in capsys.readouterr().out


def test_files_that_cannot_be_compared_are_refused(tmp_path: Path) -> None:
    """A sample that is none, a truth of other clips."""
    path = submission(tmp_path, "a.wav,0.9,0.1,0.2,0.3", "b.wav,0.9,0.8,0.2,0.3")
    with pytest.raises(SubmissionError, match="cannot be read"):
        main([path, "--sample", str(tmp_path / "nothing.csv")])
    (tmp_path / "truth.csv").write_text("fname,labels\nz.wav,Bark\n")
    with pytest.raises(SettingsError, match=r"names no clip of .*Give the truth of these clips"):
        main([path, "--sample", sample(tmp_path), "--truth", str(tmp_path / "truth.csv")])
