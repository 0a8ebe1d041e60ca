"""The second cell of a notebook: how the run ended and what the first rows hold."""

import json
from pathlib import Path

import pytest

from soundpost.kernel.preview import preview

RUN = {
    "status": 0,
    "seconds": 12.3,
    "settings": {"time_limit_seconds": 3300.0},
    "ended": {"answered": 1, "mended": ["a: cut"], "missing": {}},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What a run left."""
    (tmp_path / "run.json").write_text(json.dumps(RUN))
    return tmp_path


def test_preview_shows_the_likeliest_labels(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first rows have theirs, likeliest first, with how the run ended above them."""
    (folder / "submission.csv").write_text("fname,Bark,Rain,Siren,Meow\na.wav,0.1,0.9,0.5,0\nb.wav,0.7,0,0.2,0.1\n")

    frame = preview(folder)

    assert frame.to_numpy().tolist() == [
        ["Rain 0.90", "Siren 0.50", "Bark 0.10"],
        ["Bark 0.70", "Siren 0.20", "Meow 0.10"],
    ]
    assert list(frame.index) == ["a.wav", "b.wav"]
    assert capsys.readouterr().out == "status 0 after 12 of 3,300 s, 1 of 2 clips answered\nmended: 1\n"


def test_preview_of_a_submission_that_names_labels_shows_them(folder: Path) -> None:
    """As they are."""
    (folder / "submission.csv").write_text("fname,label\na.wav,Bark Rain Siren\n")

    assert preview(folder).loc["a.wav", "label"] == "Bark Rain Siren"


def test_preview_where_nothing_was_written_says_where_to_look(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A second cell must not fail a notebook whose files lie elsewhere."""
    assert preview(folder).empty
    assert "look there" in capsys.readouterr().out
