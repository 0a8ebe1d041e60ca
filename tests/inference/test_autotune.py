"""Trials: what is faster and holds is taken, and nothing else; timing is a stand-in throughout."""

from collections.abc import Callable
from itertools import cycle
from math import isnan

import pytest
import torch
from torch import Tensor

from soundpost.inference.autotune import HALF_BOUND, HALF_GAIN, LARGE_TIMES, REPEATS, Way, compare, half_choice

CPU = torch.device("cpu")
EXACT = torch.tensor([[0.2, 0.8], [0.5, 0.1]])

SetSeconds = Callable[..., list[Way]]


@pytest.fixture
def set_seconds(monkeypatch: pytest.MonkeyPatch) -> SetSeconds:
    """Makes the timed ways take these seconds in turn; returns the list of those timed."""

    def make(*seconds: float) -> list[Way]:
        timed: list[Way] = []
        given = cycle(seconds)
        monkeypatch.setattr(
            "soundpost.inference.autotune._seconds", lambda way, device: (timed.append(way), next(given))[1]
        )
        return timed

    return make


def off_by(change: float) -> Way:
    """The exact answers with one probability changed."""
    answers = EXACT.clone()
    answers[1, 0] += change
    return lambda: answers


def exact() -> Tensor:
    return EXACT


def test_comparison_takes_the_best_of_each_way_and_the_largest_change(set_seconds: SetSeconds) -> None:
    """Whatever disturbs makes a measurement longer, so the shortest is the truest."""
    set_seconds(3.0, 1.0, 2.0, 9.0, 7.0, 0.5)

    found = compare(exact, off_by(-0.25), CPU)

    assert found.speed == pytest.approx(2.0 / 0.5)
    assert found.change == pytest.approx(0.25)


def test_comparison_that_needs_no_seconds_takes_none(set_seconds: SetSeconds) -> None:
    """Each way runs once."""
    timed = set_seconds(1.0)

    assert isnan(compare(exact, off_by(0.25), CPU, is_timed=False).speed)
    assert not timed


def test_seconds_of_a_processor_are_measured_and_positive() -> None:
    """Without a stand-in: two equal ways take about the same, however loaded the machine is."""
    picture = torch.rand(64, 64)

    def way() -> Tensor:
        return picture @ picture

    assert 0 < compare(way, way, CPU).speed < float("inf")


@pytest.mark.parametrize(
    ("speed", "change", "must_gain", "taken"),
    [
        (2.0, HALF_BOUND / 2, True, True),
        (HALF_GAIN - 0.05, HALF_BOUND / 2, True, False),
        (2.0, HALF_BOUND * 2, True, False),
        (2.0, float("nan"), True, False),
        (0.5, HALF_BOUND / 2, False, True),
        (0.5, HALF_BOUND * 2, False, False),
    ],
    ids=["faster", "too slow", "too far", "no number", "asked for", "asked for, too far"],
)
def test_half_precision_is_taken_when_it_is_faster_and_holds(
    speed: float, change: float, must_gain: bool, taken: bool, set_seconds: SetSeconds
) -> None:
    """Where it was asked for by name only the bound counts; the log gets one sentence either way."""
    set_seconds(speed, 1.0)
    said: list[str] = []

    assert half_choice(must_gain, said.append).takes("a/1", "float16", exact, off_by(change), CPU) is taken

    assert len(said) == 1
    assert said[0].startswith("a/1: float16 taken: " if taken else "a/1: float16 not taken: ")
    assert ("times as fast" in said[0]) is must_gain


def test_half_precision_is_timed_once_for_a_recipe_and_bounded_for_each_member(set_seconds: SetSeconds) -> None:
    """Folds are one network to the device; their weights differ, and so may what rounding does to them."""
    timed = set_seconds(2.0, 1.0)
    choice = half_choice(must_gain=True)

    assert choice.takes("a/1", "float16", exact, off_by(0.0), CPU)
    assert not choice.takes("a/2", "float16", exact, off_by(0.1), CPU)
    assert choice.takes("a/3", "float16", exact, off_by(0.0), CPU)
    assert len(timed) == 2 * REPEATS


def test_half_precision_that_is_too_slow_is_not_tried_again(set_seconds: SetSeconds) -> None:
    """Further members lose no time over it."""
    set_seconds(1.0, 1.0)
    choice = half_choice(must_gain=True)
    calls: list[int] = []

    assert not choice.takes("a/1", "bfloat16", exact, exact, CPU)
    assert not choice.takes("a/2", "bfloat16", exact, lambda: (calls.append(1), EXACT)[1], CPU)
    assert not calls


def test_two_devices_agree_on_the_precision_of_a_member(set_seconds: SetSeconds) -> None:
    """The second one's first batch decides nothing: a clip's answer must not depend on the device that it went to."""
    set_seconds(2.0, 1.0)
    choice = half_choice(must_gain=True)

    assert not choice.takes("a/1", "float16", exact, off_by(0.1), CPU)
    assert not choice.takes("a/1", "float16", exact, off_by(0.0), CPU)


def test_large_batch_decides_once_more_on_speed_and_on_answers(set_seconds: SetSeconds) -> None:
    """What is slow in small batches may be fast in large ones; a few more windows are no reason to ask again."""
    timed = set_seconds(1.0, 1.0)
    choice = half_choice(must_gain=True)
    assert not choice.takes("a/1", "float16", exact, off_by(0.0), CPU, 32)
    assert not choice.takes("a/1", "float16", exact, off_by(0.0), CPU, LARGE_TIMES * 32 - 1)
    assert len(timed) == 2 * REPEATS

    timed = set_seconds(2.0, 1.0)
    assert choice.takes("a/1", "float16", exact, off_by(0.0), CPU, LARGE_TIMES * 32)
    assert len(timed) == 2 * REPEATS


def test_answers_that_stray_in_a_large_batch_end_half_precision_for_good(set_seconds: SetSeconds) -> None:
    """Whatever smaller or larger batches say."""
    set_seconds(2.0, 1.0)
    choice = half_choice(must_gain=True)
    assert choice.takes("a/1", "float16", exact, off_by(0.0), CPU, 32)
    assert not choice.takes("a/1", "float16", exact, off_by(0.1), CPU, 200)
    assert not choice.takes("a/1", "float16", exact, off_by(0.0), CPU, 5000)
    assert choice.takes("a/2", "float16", exact, off_by(0.0), CPU, 32)
