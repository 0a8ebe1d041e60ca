"""Training: repeatable, resumable, deaf to the fold that is held out, and its recipe can be read."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from composed_plan import LABELS, PLAN, RATE, command, make_small_folder, recipe, rows, same, train, weights

from soundpost.ensemble.weights_file import sha256_of
from soundpost.evaluation.dataset import read_table


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eight short clips in two folds, a csv and a plan."""
    return make_small_folder(tmp_path)


def test_fit_writes_a_recipe_that_describes_its_files(folder: Path) -> None:
    """Labels, hashes, scores and aliases are those of the training; members come best first."""
    out = train(folder, "out")

    found = recipe(out)
    assert found.labels == LABELS
    assert dict(found.aliases) == {"low": "Low_tone"}
    assert found.priors == pytest.approx((2 / 8, 4 / 8, 3 / 8))
    assert sorted(member.fold for member in found.members) == ["1", "2"]
    assert [member.sha256 for member in found.members] == [sha256_of(out / member.file) for member in found.members]
    assert [len(scores) for scores in found.gains.values()] == [len(found.views)]
    scores = [member.scores["lwlrap"] for member in found.members]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= member.scores["accuracy"] <= 1 for member in found.members)


def test_fit_out_of_fold_predictions_have_a_row_per_clip(folder: Path) -> None:
    """Every clip once, in the order of the csv, with one probability per label."""
    head, *clips = rows(train(folder, "out") / "out_of_fold.csv")

    assert head == ["fname", "fold", *LABELS]
    assert [row[0] for row in clips] == [f"{number}.wav" for number in range(8)]
    assert all(0 <= float(value) <= 1 for row in clips for value in row[2:])


def test_fit_same_seed_gives_the_same_weights_and_another_seed_others(folder: Path) -> None:
    """Everything random follows from the seed."""
    first, again, other = (train(folder, out, "--seed", seed) for out, seed in (("a", "3"), ("b", "3"), ("c", "4")))

    assert same(weights(first, "1"), weights(again, "1"))
    assert not same(weights(first, "1"), weights(other, "1"))
    assert (first / "out_of_fold.csv").read_bytes() == (again / "out_of_fold.csv").read_bytes()


def test_fit_finished_training_run_again_changes_nothing(folder: Path) -> None:
    """A finished member is taken from its checkpoint."""
    before = {path.name: path.read_bytes() for path in train(folder, "out").iterdir() if path.is_file()}

    train(folder, "out")

    after = {path.name: path.read_bytes() for path in (folder / "out").iterdir() if path.is_file()}
    assert after == before
    assert "fold1.safetensors" in before


def test_fit_folds_trained_apart_equal_folds_trained_together(folder: Path) -> None:
    """--folds trains some members now and the rest later, to the same recipe."""
    together = train(folder, "together")
    train(folder, "apart", "--folds", "2")
    assert not (folder / "apart" / "recipe.toml").exists()

    apart = train(folder, "apart")

    said, wanted = (_text(out).replace(out.name, "") for out in (apart, together))
    assert said == wanted


def _text(out: Path) -> str:
    return (out / "recipe.toml").read_text("utf-8")


def test_fit_start_goes_on_from_the_members_of_another_training(folder: Path) -> None:
    """With next to no learning rate, each member stays what it was; a training of its own differs."""
    first = train(folder, "first")
    (folder / "plan.toml").write_text(PLAN.replace("rate = 3e-3", "rate = 1e-12"))

    further = train(folder, "further", "--start", str(first))
    alone = train(folder, "alone")

    for fold in "12":
        torch.testing.assert_close(weights(further, fold)["stem.weight"], weights(first, fold)["stem.weight"])
        assert not torch.allclose(weights(alone, fold)["stem.weight"], weights(first, fold)["stem.weight"])


def test_fit_member_never_hears_its_fold(folder: Path) -> None:
    """Other recordings in fold 1 leave member 1 as it was, and change member 2."""
    before = train(folder, "before")
    for number in (0, 2, 4, 6):
        soundfile.write(folder / f"{number}.wav", np.random.default_rng(9).uniform(-1, 1, RATE // 2), RATE)

    after = train(folder, "after")

    assert same(weights(before, "1"), weights(after, "1"))
    assert not same(weights(before, "2"), weights(after, "2"))


def test_fit_table_without_folds_is_dealt_evenly(folder: Path) -> None:
    """FSDKaggle2019's own layout works unchanged with a rule for folds."""
    (folder / "plan.toml").write_text(PLAN + '[folds]\nname = "deal"\ncount = 2\n')
    out = train(folder, "out", table="no_folds.csv")

    assert sorted(member.fold for member in recipe(out).members) == ["1", "2"]
    assert sorted(read_table(folder / "no_folds.csv", 2, 0).folds) == ["1"] * 4 + ["2"] * 4


def test_fit_table_without_folds_and_without_a_rule_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message names the missing column and the way out."""
    assert command(folder, "out", table="no_folds.csv") == 2
    assert "no column fold. Add it, or choose another rule" in capsys.readouterr().err


def test_fit_unknown_fold_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The message lists the folds that there are."""
    assert command(folder, "out", "--folds", "7") == 2
    assert "--folds 7: folds are 1, 2. Correct --folds." in capsys.readouterr().err
