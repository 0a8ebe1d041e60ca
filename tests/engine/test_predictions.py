"""Predictions: by name into columns, blended for each clip, and taken up again after a crash of the engine."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import requires_root

from soundpost.engine import predictions as predictions_module
from soundpost.engine.predictions import ADDING, Predictions
from soundpost.ensemble.blend import Blend
from soundpost.ensemble.columns import column_priors, map_all
from soundpost.ensemble.recipes import Member, Named, Recipe

COLUMNS = ("Rain", "Bark", "Yell", "Siren")


def recipe(name: str, labels: tuple[str, ...], folds: int = 1, views: int = 1, **others: object) -> Recipe:
    return Recipe(
        name=name,
        labels=labels,
        audio={},
        front_end=Named("log_mel", {}),
        model=Named("compact", {}),
        views=(Named("whole", {}),) * views,
        members=tuple(Member(name, str(i), "", "") for i in range(folds)),
        **{"priors": (0.25,) * len(labels), **others},
    )


def table(recipes: tuple[Recipe, ...], folder: Path, n_clips: int = 3) -> tuple[Predictions, Blend]:
    members = [(r, m) for r in recipes for m in r.members]
    passes = [(i, view) for i, (r, _) in enumerate(members) for view in range(len(r.views))]
    blend = Blend(Named("mean", {}), [m.name for _, m in members])
    return Predictions(members, n_clips, passes, folder), blend


def blended(recipes: tuple[Recipe, ...], answers: Predictions, blend: Blend) -> np.ndarray:
    maps = map_all(recipes, COLUMNS)
    return answers.blended(blend, maps, column_priors(recipes, maps, len(COLUMNS)))


def test_answers_fill_columns_by_name_and_alias_and_leave_unknown_ones_constant(tmp_path: Path) -> None:
    """Classes find their columns whatever the order; a column that no label names gets 1 / columns."""
    recipes = (recipe("a", ("Dog_bark", "Rain", "Moo"), aliases={"Dog_bark": "Bark"}),)
    answers, blend = table(recipes, tmp_path)

    answers.add(0, 0, 1, np.array([0.9, 0.1, 0.7], np.float32))

    np.testing.assert_allclose([0.1, 0.9, 0.25, 0.25], blended(recipes, answers, blend)[1], atol=1e-7)


def test_clip_without_an_answer_keeps_the_priors_and_the_others_do_not_move(tmp_path: Path) -> None:
    """An unfinished pass helps the clips that it reached and no other."""
    recipes = (recipe("a", COLUMNS, priors=(0.1, 0.2, 0.3, 0.4)),)
    answers, blend = table(recipes, tmp_path)

    answers.add(0, 0, 1, np.full(4, 0.6, np.float32))

    found = blended(recipes, answers, blend)
    np.testing.assert_allclose([[0.1, 0.2, 0.3, 0.4], [0.6] * 4, [0.1, 0.2, 0.3, 0.4]], found, atol=1e-6)
    assert answers.answered().tolist() == [False, True, False]
    assert answers.total() == 1


def test_blend_counts_each_clip_by_the_members_that_reached_it(tmp_path: Path) -> None:
    """A clip that one member answered has that answer; one that both answered has their mean."""
    recipes = (recipe("a", COLUMNS, folds=2),)
    answers, blend = table(recipes, tmp_path)

    answers.add(0, 0, 0, np.full(4, 0.2, np.float32))
    answers.add(0, 0, 1, np.full(4, 0.2, np.float32))
    answers.add(1, 0, 1, np.full(4, 0.6, np.float32))

    np.testing.assert_allclose([[0.2] * 4, [0.4] * 4, [0.25] * 4], blended(recipes, answers, blend), atol=1e-6)
    assert answers.seen(1, 0).tolist() == [False, True, False]


def test_members_with_other_labels_are_blended_only_where_they_know(tmp_path: Path) -> None:
    """A recipe that lacks a label has no say about its column, not even a zero."""
    recipes = (recipe("a", ("Rain", "Bark")), recipe("b", ("Siren", "Bark")))
    answers, blend = table(recipes, tmp_path)

    answers.add(0, 0, 0, np.array([0.2, 0.4], np.float32))
    answers.add(1, 0, 0, np.array([0.9, 0.8], np.float32))
    answers.add(1, 0, 1, np.array([0.9, 0.8], np.float32))

    np.testing.assert_allclose(
        [[0.2, 0.6, 0.25, 0.9], [0.25, 0.8, 0.25, 0.9]], blended(recipes, answers, blend)[:2], atol=1e-6
    )


def test_views_of_a_member_are_averaged_before_members_are_blended(tmp_path: Path) -> None:
    """A member with two views weighs as much as one with one."""
    recipes = (recipe("a", COLUMNS, views=2), recipe("b", COLUMNS))
    answers, blend = table(recipes, tmp_path)

    for member, view, value in ((0, 0, 0.1), (0, 1, 0.3), (1, 0, 0.8)):
        answers.add(member, view, 0, np.full(4, value, np.float32))

    np.testing.assert_allclose(np.full(4, 0.5), blended(recipes, answers, blend)[0], atol=1e-6)


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_logits_are_averaged_before_they_become_probabilities(tmp_path: Path, activation: str) -> None:
    """A recipe that averages logits gets its activation after the mean over views, extremes without overflow."""
    recipes = (recipe("a", COLUMNS, views=2, average="logit", activation=activation),)
    answers, blend = table(recipes, tmp_path)
    logits = np.array([[2.0, -1.0, 0.0, 900.0], [0.0, -3.0, 0.5, -900.0]], np.float32)

    for view in range(2):
        answers.add(0, view, 0, logits[view])

    mean = logits.mean(0)
    expected = 1 / (1 + np.exp(-mean)) if activation == "sigmoid" else np.exp(mean) / np.exp(mean).sum()
    np.testing.assert_allclose(expected, blended(recipes, answers, blend)[0], atol=1e-6)


@pytest.mark.parametrize("logit", [-2000.0, 2000.0])
def test_extreme_logits_are_probabilities_without_a_warning(tmp_path: Path, logit: float) -> None:
    """A network that is very sure does not overflow."""
    recipes = (recipe("a", COLUMNS, average="logit"),)
    answers, blend = table(recipes, tmp_path)

    answers.add(0, 0, 0, np.full(4, logit, np.float32))

    np.testing.assert_allclose(np.full(4, float(logit > 0)), blended(recipes, answers, blend)[0], atol=1e-6)


def test_answers_are_taken_up_again_after_a_crash(tmp_path: Path) -> None:
    """A second engine of the same run finds what the first one had added, and goes on from there."""
    recipes = (recipe("a", COLUMNS, folds=2),)
    first, blend = table(recipes, tmp_path)
    first.add(0, 0, 0, np.full(4, 0.2, np.float32))
    first.add(1, 0, 0, np.full(4, 0.4, np.float32))
    first.add(0, 0, 2, np.full(4, 0.7, np.float32))
    del first  # as SIGKILL does: nothing is flushed or closed by us

    second, _ = table(recipes, tmp_path)

    assert second.seen(0, 0).tolist() == [True, False, True]
    assert second.seen(1, 0).tolist() == [True, False, False]
    np.testing.assert_allclose([[0.3] * 4, [0.25] * 4, [0.7] * 4], blended(recipes, second, blend), atol=1e-6)


def test_sum_that_a_crash_tore_is_forgotten_and_no_other(tmp_path: Path) -> None:
    """An engine that dies between the sum and its mark costs that member that clip, never a wrong answer."""
    recipes = (recipe("a", COLUMNS, views=2), recipe("b", COLUMNS))
    first, blend = table(recipes, tmp_path)
    for member, view, clip in ((0, 0, 0), (0, 0, 1), (1, 0, 1)):
        first.add(member, view, clip, np.full(4, 0.4, np.float32))
    first._marks[first._row[0, 1], 1] = ADDING
    first._sums[0][1] += 0.9  # half of an add()

    second, _ = table(recipes, tmp_path)

    assert second.seen(0, 0).tolist() == [True, False, False]
    assert second.seen(0, 1).tolist() == [False, False, False]
    assert second.seen(1, 0).tolist() == [False, True, False]
    second.add(0, 0, 1, np.full(4, 0.4, np.float32))
    np.testing.assert_allclose(np.full((2, 4), 0.4), blended(recipes, second, blend)[:2], atol=1e-6)


def test_answers_of_another_plan_are_not_taken_up(tmp_path: Path) -> None:
    """A table of another shape is made anew rather than misread."""
    first, _ = table((recipe("a", COLUMNS),), tmp_path, n_clips=3)
    first.add(0, 0, 0, np.full(4, 0.2, np.float32))

    second, _ = table((recipe("a", COLUMNS),), tmp_path, n_clips=4)

    assert second.total() == 0


def test_answers_on_a_full_disk_live_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without room for the table nothing is lost but the resumption after a crash."""

    def full(descriptor: int, offset: int, length: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(predictions_module.os, "posix_fallocate", full)
    recipes = (recipe("a", COLUMNS),)
    answers, blend = table(recipes, tmp_path)

    answers.add(0, 0, 0, np.full(4, 0.2, np.float32))

    np.testing.assert_allclose(np.full(4, 0.2), blended(recipes, answers, blend)[0], atol=1e-6)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with room for the marks of all members, and for one table of sums."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=48k", "tmpfs", str(folder)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        pytest.skip(f"this machine lets nobody mount: {result.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@requires_root
@pytest.mark.parametrize("has_room_later", [False, True])
def test_answers_for_which_a_full_disk_had_no_room_are_not_taken_for_zeros_by_the_next_engine(
    small_disk: Path, has_room_later: bool
) -> None:
    """What lay in memory is gone with its engine and is computed again; what lay on the disk is taken up."""
    recipes = (recipe("a", COLUMNS, folds=2),)
    first, _ = table(recipes, small_disk, n_clips=2000)  # 32 kB for each member
    for member in (0, 1):
        first.add(member, 0, 7, np.full(4, 0.8, np.float32))
    assert [path.name for path in sorted(small_disk.iterdir())] == ["marks.npy", "sums-0.npy"]
    if has_room_later:
        del first
        subprocess.run(["mount", "-o", "remount,size=1m", str(small_disk)], check=True)

    second, blend = table(recipes, small_disk, n_clips=2000)

    assert second.seen(0, 0).nonzero()[0].tolist() == [7]
    assert second.seen(1, 0).sum() == 0
    np.testing.assert_allclose(blended(recipes, second, blend)[7], np.full(4, 0.8), atol=1e-6)


def test_tables_of_an_engine_that_had_no_room_for_its_marks_are_begun_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sums of which nobody knows the clips would be counted twice."""
    recipes = (recipe("a", COLUMNS),)
    allocate, calls = os.posix_fallocate, []

    def full_at_first(descriptor: int, offset: int, length: int) -> None:
        calls.append(length)
        if len(calls) == 1:
            raise OSError(28, "No space left on device")
        allocate(descriptor, offset, length)

    monkeypatch.setattr(predictions_module.os, "posix_fallocate", full_at_first)
    first, _ = table(recipes, tmp_path)
    first.add(0, 0, 0, np.full(4, 0.2, np.float32))

    second, blend = table(recipes, tmp_path)
    second.add(0, 0, 0, np.full(4, 0.2, np.float32))

    assert len(calls) == 3
    np.testing.assert_allclose(blended(recipes, second, blend)[0], np.full(4, 0.2), atol=1e-6)


def test_table_that_was_cut_short_is_begun_anew(tmp_path: Path) -> None:
    """A file without its end is no table, and is not filled up with zeros that pass for answers."""
    recipes = (recipe("a", COLUMNS),)
    first, _ = table(recipes, tmp_path)
    first.add(0, 0, 2, np.full(4, 0.2, np.float32))
    del first
    os.truncate(tmp_path / "sums-0.npy", (tmp_path / "sums-0.npy").stat().st_size - 16)

    second, _ = table(recipes, tmp_path)

    assert second.total() == 0


def test_answers_blended_in_parts_are_those_blended_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many clips there are, few are blended at a time, and none is missed at the seams."""
    recipes = (recipe("a", COLUMNS), recipe("b", ("Rain", "Siren")))
    answers, blend = table(recipes, tmp_path, n_clips=7)
    random = np.random.default_rng(2)
    for clip in (0, 2, 3, 6):
        answers.add(0, 0, clip, random.random(4).astype(np.float32))
        answers.add(1, 0, clip, random.random(2).astype(np.float32))
    expected = blended(recipes, answers, blend)

    for rows in (1, 3, 7):
        monkeypatch.setattr(predictions_module, "ROWS", rows)
        np.testing.assert_array_equal(expected, blended(recipes, answers, blend))


def test_answers_of_no_clips_are_a_table_without_rows(tmp_path: Path) -> None:
    """An empty sample submission is a valid run."""
    recipes = (recipe("a", COLUMNS),)
    answers, blend = table(recipes, tmp_path, n_clips=0)

    assert blended(recipes, answers, blend).shape == (0, 4)
    assert answers.total() == 0
