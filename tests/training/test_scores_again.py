"""What a recipe says about its members can be measured again, with labels by either of their names."""

from pathlib import Path

import pytest
from composed_plan import LABELS, make_small_folder, recipe, rows, train, write

from soundpost.errors import SettingsError
from soundpost.evaluation import evaluate
from soundpost.evaluation.dataset import read_labels


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eight short clips in two folds, a csv and a plan."""
    return make_small_folder(tmp_path)


def test_read_labels_takes_a_label_by_either_name(folder: Path) -> None:
    """Labels of the recipe and columns of the submission mean the same class; anything else is refused."""
    write(folder / "truth.csv", [["fname", "labels"], ["a.wav", "Low_tone,high"], ["b.wav", "low"]])

    files, truth = read_labels(folder / "truth.csv", LABELS, {"low": "Low_tone"})

    assert files == ("a.wav", "b.wav")
    assert truth.tolist() == [[1, 1, 0], [0, 1, 0]]
    with pytest.raises(SettingsError, match=r"labels Low_tone; known: high, low, noise\. Correct them"):
        read_labels(folder / "truth.csv", LABELS, {})


def test_evaluate_member_on_its_fold_prints_the_score_of_the_recipe(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the recipe says about a member can be measured again from its files."""
    out = train(folder, "out")
    head, *clips = rows(folder / "clips.csv")
    write(folder / "fold1.csv", [head, *(row for row in clips if row[2] == "1")])
    member = next(member for member in recipe(out).members if member.fold == "1")
    capsys.readouterr()

    where = ["--weights", str(out), "--clips", str(folder), "--csv", str(folder / "fold1.csv")]
    assert evaluate.main([*where, "--members", "1", "--views", "2"]) == 0
    assert f"out/1: 4 clips, lwlrap {member.scores['lwlrap']:.4f}" in capsys.readouterr().out
    assert evaluate.main([*where, "--members", "5"]) == 2
    assert "--members 5: the recipe has" in capsys.readouterr().err
