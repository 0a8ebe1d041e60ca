"""Folds that share batches answer as they do alone; what one of them cannot do costs the others nothing."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import LABELS, compact_arrays
from networks import SAME_ANSWER, TILES, WHOLE, let_recipes_ask_for_fakes
from torch import Tensor

from soundpost.engine import run as run_module
from soundpost.engine import scheduler
from soundpost.engine.provision import provisioned
from soundpost.ensemble.recipes import Member, Named, Recipe
from soundpost.inference.fold_group import FoldGroup
from soundpost.inference.predictor import Predictor
from soundpost.settings import RunSettings

SMALL = {"bins": 16, "widths": [4, 6], "strides": [2, 2]}
CLIPS = 6 * torch.randn(7, 1, 16, 80, generator=torch.Generator().manual_seed(0)) - 30


@pytest.fixture(autouse=True)
def groups_of_any_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is today, the folds share batches; recipes may ask for the networks that misbehave."""
    monkeypatch.setattr(scheduler, "SHARED_WINDOWS", 1e-6)
    let_recipes_ask_for_fakes(monkeypatch)


def members(
    count: int = 3, model: str = "compact", average: str = "probability", **settings: object
) -> list[Predictor]:
    """Folds of one recipe with random weights."""
    folds = [Member("tiny", str(fold), "", "") for fold in range(count)]
    recipe = Recipe(
        name="tiny",
        labels=LABELS,
        audio={},
        front_end=Named("log_mel", {}),
        model=Named(model, {"bins": 16, "widths": (4, 6), "strides": (2, 2), **settings}),
        views=(Named("whole", {}),),
        members=tuple(folds),
        priors=(0.25,) * 4,
        average=average,
        activation="softmax",
    )
    return [Predictor(recipe, fold, compact_arrays(int(fold.fold)), "cpu", "float32") for fold in folds]


def alone(found: list[Predictor]) -> Tensor:
    """(windows, members, classes), one call for each member."""
    return torch.stack([predict(CLIPS, WHOLE) for predict in found], dim=1)


# ---------------------------------------------------------------- answers
@pytest.mark.parametrize("average", ["probability", "logit"])
def test_group_answers_as_its_members_do_alone(average: str) -> None:
    """What is shared is the cutting and preparing of windows, never an answer."""
    folds = members(average=average)

    found = FoldGroup(folds)(CLIPS, WHOLE)

    assert found.shape == (7, 3, 4)
    torch.testing.assert_close(found, alone(folds), rtol=0, atol=SAME_ANSWER)


def test_group_on_the_cpu_is_that_of_its_members_twins() -> None:
    """For a window that fits no GPU."""
    folds = members(2)
    group = FoldGroup(folds)

    torch.testing.assert_close(group.on_cpu()(CLIPS, WHOLE), alone(folds), rtol=0, atol=SAME_ANSWER)


# ---------------------------------------------------------------- in a run
def submission_of(settings: RunSettings) -> np.ndarray:
    """(clips, columns) of a run in this process that ends well."""
    assert run_module.run(settings) == 0
    return np.loadtxt(settings.out, delimiter=",", skiprows=1, usecols=range(1, 5), ndmin=2)


@pytest.mark.parametrize("kind", [{}, TILES], ids=["whole", "tiles"])
def test_run_whose_folds_share_batches_gives_the_submission_of_one_whose_folds_do_not(
    kind: dict[str, object],
    make_assets: Callable[..., Path],
    make_clips: Callable[..., Path],
    make_settings: Callable[..., RunSettings],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The first pass is one member's, so that every clip soon has an answer; the others come together."""
    assets, contest = make_assets(kind), make_clips()
    with monkeypatch.context() as patched:
        patched.setattr(scheduler, "SHARED_TIME", 0.0)
        expected = submission_of(make_settings(assets, contest))
    assert "more: 12 clips done" not in capfd.readouterr().out

    found = submission_of(make_settings(assets, contest))

    said = capfd.readouterr().out
    np.testing.assert_allclose(found, expected, rtol=0, atol=SAME_ANSWER)
    assert "/1 " in said
    assert "and 1 more: 12 clips done" in said
    assert "3 of 3 passes complete" in said


def test_group_with_a_member_that_raises_loses_what_its_members_lose_alone(
    make_assets: Callable[..., Path],
    make_clips: Callable[..., Path],
    make_settings: Callable[..., RunSettings],
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A batch that fails is answered once more, one member after the other, and each one's failures are counted."""
    contest = make_clips((0.3, 3.0, 0.6, 2.0))
    assets = make_assets({"name": "sound", "folds": 1}, {"name": "broken", "model": {"name": "broken", **SMALL}})

    submission_of(make_settings(assets, contest))

    said = capfd.readouterr().out
    for fold in "123":
        assert f"clips failed in broken/{fold} (ValueError: a kernel that nobody has written) 2" in said
    assert "and 1 more answered one after the other 2" in said
    assert "4 of 4 passes complete" in said


def test_group_with_a_member_whose_answers_are_no_numbers_keeps_the_others(
    make_assets: Callable[..., Path],
    make_clips: Callable[..., Path],
    make_settings: Callable[..., RunSettings],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Three folds share batches, and only the diverged one is left out of the blend."""
    assets, contest = make_assets({"folds": 4}), make_clips((0.3, 0.6, 0.9))
    expected = submission_of(make_settings(assets, contest, members=("tiny0/1", "tiny0/2", "tiny0/4")))
    through = Predictor.through

    def diverged(self: Predictor, *rest: object) -> Tensor:
        return through(self, *rest) * (np.nan if self.member.fold == "3" else 1)

    monkeypatch.setattr(Predictor, "through", diverged)
    capfd.readouterr()

    found = submission_of(make_settings(assets, contest))

    np.testing.assert_allclose(found, expected, rtol=0, atol=SAME_ANSWER)
    said = capfd.readouterr().out
    assert "answers of tiny0/3 not finite 3" in said
    assert "and 2 more: 3 clips done" in said


def test_group_adds_nothing_to_a_member_that_has_answered_before(
    make_assets: Callable[..., Path],
    make_clips: Callable[..., Path],
    make_settings: Callable[..., RunSettings],
) -> None:
    """An engine died while the second fold was alone at work; the next one gives it what it lacks and no more."""
    given = np.full(4, 0.9, np.float32)
    with provisioned(make_settings(make_assets(), make_clips())) as session:
        answers = session.predictions
        for clip in (0, 1, 2):
            answers.add(1, 0, clip, given)

        assert run_module.Run(session).run() == 0

    assert answers.total() == 3 * 12
    np.testing.assert_array_equal(answers._sums[1][:3], [given] * 3)
    assert np.abs(answers._sums[1][3:] - given).max(axis=1).min() > 0.01
    assert np.abs(answers._sums[2][:3] - given).max(axis=1).min() > 0.01
