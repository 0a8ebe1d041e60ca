"""The command: what cannot be used is refused in one line, before anything is decoded."""

from pathlib import Path

import pytest
from trained import make_folder, words

from soundpost.training.__main__ import main


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Clips and plans."""
    return make_folder(tmp_path)


REFUSED = [
    (["--epochs", "-3"], "--epochs -3: at least 1 is needed."),
    (["--device", "cuda:7"], "--device cuda:7 does not work here"),
    (["--limit", "soon"], "--limit soon is no duration. Write 11h30m, 45m or 90s."),
    (["--folds", "9"], "--folds 9: folds are 1, 2. Correct --folds."),
    (["--start", "nowhere"], "--start nowhere: no fold1.safetensors there."),
    (["--curated", "away.csv:{}"], "away.csv: no such file. Give the csv of the clips."),
    (["--curated", "away.csv:away"], "--curated away.csv:away: no folder away."),
]


@pytest.mark.parametrize(("more", "message"), REFUSED, ids=[more[0] for more, _ in REFUSED])
def test_training_refuses_in_one_line(
    folder: Path, more: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 2 and what to do."""
    assert main(words(folder, "waveforms", "out", *(word.format(folder) for word in more))) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert message in said
    assert len([line for line in said.splitlines() if line.startswith("error:")]) == 1


def test_training_of_a_plan_that_is_not_there_names_the_published_ones(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A word without a suffix was meant for one of them."""
    given = words(folder, "waveforms", "out")[1:]
    assert main(["argus/none", *given]) == 2
    assert (
        "plan argus/none: No such file or directory. Name a training.toml. Published plans: argus/auxiliary_016,"
        in (capsys.readouterr().err)
    )


def test_training_of_one_fold_says_that_its_member_would_hear_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All clips in fold 1: before anything is decoded."""
    text = (folder / "curated.csv").read_text()
    (folder / "curated.csv").write_text(text.replace(",2\n", ",1\n"))
    assert main(words(folder, "waveforms", "out")) == 2
    assert "fold 1 hears no clip of any set. Give a second fold" in capsys.readouterr().err
    assert not (folder / "out" / "features").exists()


CSVS = [
    ("fname,labels,fold\n0.wav,,1\n", "curated.csv, line 2: an empty or quoted label. Write labels as Bark,Rain."),
    ("fname,labels,fold\n0.wav,['low'],1\n", "curated.csv, line 2: an empty or quoted label"),
    ("fname,labels,fold\n0.wav,low,1\n1.wav,low,\n", "curated.csv, line 3: no fold."),
    ("fname,labels,fold\n0.wav,low,1\n0.wav,high,2\n", "curated.csv, line 3: a clip that stood in a line before."),
    ('fname,labels,fold\n0.wav,"low,low",1\n', "curated.csv, line 2: a label twice."),
    ("fname,labels,fold\n", "curated.csv: no clip in it."),
    ("", "curated.csv: no table"),
    ("fname,fold\n0.wav,1\n", "curated.csv: no column labels. Add it."),
    ("fname,labels,fold\n0.wav,low,1\nx.wav,low,1\ny.wav,low,2\n", "2 of 3 clips are not there: x.wav, y.wav."),
    ("fname,labels,fold\n0.wav,Ger\xe4usch,1\n", "curated.csv: not UTF-8"),
]


@pytest.mark.parametrize(("text", "message"), CSVS)
def test_table_that_cannot_be_used_is_refused_by_line(
    folder: Path, text: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is decoded."""
    (folder / "curated.csv").write_bytes(text.encode("latin-1"))
    assert main(words(folder, "waveforms", "out")) == 2
    assert message in capsys.readouterr().err


def test_labels_are_stripped_and_a_summary_is_printed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Spaces round labels make no further classes."""
    text = (folder / "curated.csv").read_text()
    (folder / "curated.csv").write_text(text.replace("0.wav,low,", '0.wav," low ",'))
    assert main(words(folder, "waveforms", "out", "--limit", "0s")) == 0
    assert "12 clips, 2 classes, folds 1, 2, 6 s; rarest: high 6, low 6\n" in capsys.readouterr().out


def test_summary_counts_the_clips_of_other_sets_and_those_of_no_known_length(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file whose header says nothing is there, and is found to be damaged when it is decoded."""
    (folder / "noisy" / "0.wav").write_bytes(b"RIFF")

    main(words(folder, "spectrograms", "out", "--limit", "0s"))

    told = "6 s; rarest: high 6, low 6; 6 noisy clips beside them, 2 s (1 of them of no known length)"
    assert f"12 clips, 2 classes, folds 1, 2, {told}\n" in capsys.readouterr().out
