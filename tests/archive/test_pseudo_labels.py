"""Labels to train on from an archive: the rule, the layout, and what is left out."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from archive_runs import Tag, tagging
from conftest import LABELS, RATE, RecipeMaker, waveform

from soundpost.archive.pseudo_labels import Rule, main, parse_rule
from soundpost.errors import SettingsError
from soundpost.evaluation.dataset import read_labels


@pytest.fixture
def tag(make_assets: RecipeMaker, tmp_path: Path) -> Tag:
    """The command with one small member."""
    return tagging(make_assets({"folds": 1}), tmp_path)


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Three clips and a file that is none."""
    folder = tmp_path / "clips"
    folder.mkdir()
    for number in range(3):
        soundfile.write(folder / f"{number}.wav", waveform(1.5, number), RATE)
    (folder / "noise.wav").write_bytes(b"no sound")
    return folder


def test_rule_takes_the_likeliest_above_its_threshold() -> None:
    """One bound, the other, or both; equal ones in the order of the labels."""
    scored = [("a", 0.2), ("b", 0.9), ("c", 0.7), ("d", 0.9)]

    assert [name for name, _ in parse_rule("threshold=0.7").labels(scored)] == ["b", "d", "c"]
    assert [name for name, _ in parse_rule("top=1").labels(scored)] == ["b"]
    assert parse_rule("top=2, threshold=0.95").labels(scored) == []
    assert parse_rule("top=2,threshold=0.5") == Rule(0.5, 2)


@pytest.mark.parametrize("text", ["", "top", "top=0", "top=-1", "threshold=2", "threshold=0.5,least=1", "0.8"])
def test_rule_that_is_not_understood_is_refused(text: str) -> None:
    """With what would be."""
    with pytest.raises(SettingsError, match=r"is not understood\. Write threshold=0\.8"):
        parse_rule(text)


@pytest.mark.parametrize("top", [0, 3])
def test_labels_have_the_layout_of_the_contest(top: int, clips: Path, tag: Tag, tmp_path: Path) -> None:
    """fname and labels as train_noisy.csv has them, scores beside; the same from columns and from --top lists."""
    tags = tag(clips, "--top", top)
    out = tmp_path / "train_noisy.csv"

    assert main([str(tmp_path / "TAGS.parquet"), "--rule", "top=2", "--out", str(out)]) == 0

    found = pd.read_csv(out)
    assert list(found.columns) == ["fname", "labels", "scores"]
    assert list(found["fname"]) == ["0.wav", "1.wav", "2.wav"]
    for row in found.itertuples():
        names, scores = row.labels.split(","), [float(score) for score in row.scores.split(",")]
        if not top:
            best = tags.loc[row.fname, list(LABELS)].astype(float).sort_values(ascending=False)[:2]
            assert names == list(best.index)
            np.testing.assert_allclose(scores, best, rtol=1e-5)
        assert len(names) == 2
        assert scores == sorted(scores, reverse=True)
    names, truth = read_labels(out, LABELS, {})  # as the trainer and the evaluation read it
    assert names == ("0.wav", "1.wav", "2.wav")
    assert truth.sum(axis=1).tolist() == [2, 2, 2]


def test_stretches_say_where_they_are(clips: Path, tag: Tag, tmp_path: Path) -> None:
    """Two windows of each clip."""
    tag(clips, "--window", 1)
    out = tmp_path / "noisy.csv"

    assert main([str(tmp_path / "TAGS.parquet"), "--rule", "top=1", "--out", str(out)]) == 0

    found = pd.read_csv(out)
    assert list(found["fname"]) == ["0.wav", "0.wav", "1.wav", "1.wav", "2.wav", "2.wav"]
    assert list(found["start"][:2]) == [0.0, 1.0]
    assert list(found["end"][:2]) == [1.0, 1.5]


def test_rule_that_takes_nothing_says_so(clips: Path, tag: Tag, tmp_path: Path) -> None:
    """Status 3, and a table without rows."""
    tag(clips)
    out = tmp_path / "noisy.csv"

    assert main([str(tmp_path / "TAGS.parquet"), "--rule", "threshold=1", "--out", str(out)]) == 3
    assert out.read_text() == "fname,labels,scores\n"


def test_archive_of_somebody_else_is_refused(tmp_path: Path) -> None:
    """Neither a table without our labels nor nothing at all."""
    pd.DataFrame({"end": [1.0]}).to_parquet(tmp_path / "other.parquet")

    with pytest.raises(SettingsError, match="was not written by soundpost tag"):
        main([str(tmp_path / "other.parquet"), "--rule", "top=1", "--out", str(tmp_path / "x.csv")])
    with pytest.raises(SettingsError, match="is no archive"):
        main([str(tmp_path / "gone.parquet"), "--rule", "top=1", "--out", str(tmp_path / "x.csv")])
