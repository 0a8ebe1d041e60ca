"""Groups: nobody lost, nobody twice, equal frames, cost under the budget, over random lengths and orders."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soundpost.engine.batching import ROUND_SIZES, Groups, Unit

LENGTHS = st.lists(st.lists(st.sampled_from([1, 7, 40, 40, 300]), min_size=1, max_size=4), max_size=40)


def units_of(clip: int, lengths: list[int]) -> list[Unit]:
    return [Unit(clip, window, frames) for window, frames in enumerate(lengths)]


def drain(groups: Groups, hungry: bool) -> list[list[Unit]]:
    batches = []
    while batch := groups.take(hungry):
        batches.append(batch)
    return batches


@settings(deadline=None)
@given(LENGTHS, st.integers(1, 500), st.integers(1, 9), st.booleans(), st.randoms(use_true_random=False))
def test_groups_of_random_lengths_take_everybody_once_under_the_budget(
    lengths: list[list[int]], budget: int, most: int, hungry: bool, random: object
) -> None:
    """Whatever comes in whatever order leaves exactly once, with equals, within the budget or alone."""
    clips = [units_of(clip, frames) for clip, frames in enumerate(lengths)]
    known = {clip for clip in range(len(clips)) if random.random() < 0.5}
    groups = Groups(budget, most)
    groups.expect(Counter(u.frames for clip in known for u in clips[clip]), len(clips) - len(known))
    order = list(range(len(clips)))
    random.shuffle(order)
    batches = []
    for clip in order:
        groups.add(clips[clip], known=clip in known)
        batches += drain(groups, hungry)
    batches += drain(groups, hungry)

    assert Counter(u for clip in clips for u in clip) == Counter(u for batch in batches for u in batch)
    for batch in batches:
        assert len({u.frames for u in batch}) == 1, batch
        assert len(batch) <= most, batch
        assert len(batch) == 1 or sum(u.frames for u in batch) <= budget, batch
    assert len(groups) == groups.waiting_frames == 0


def test_group_that_can_still_grow_waits_for_its_mates() -> None:
    """A batch leaves when it is full, not before, as long as more of its length is expected."""
    groups = Groups(budget_frames=30, max_units=99)
    groups.expect(Counter({10: 4}))

    groups.add([Unit(0, 0, 10)], known=True)
    groups.add([Unit(1, 0, 10)], known=True)
    assert groups.take(hungry=False) == []
    groups.add([Unit(2, 0, 10)], known=True)
    assert [u.clip for u in groups.take(hungry=False)] == [0, 1, 2]
    groups.add([Unit(3, 0, 10)], known=True)
    assert [u.clip for u in groups.take(hungry=False)] == [3], "the last of its length waits for nobody"


def test_group_leaves_half_full_when_a_device_is_idle() -> None:
    """An idle device takes the dearest group as it is."""
    groups = Groups(budget_frames=1000, max_units=99)
    groups.expect(Counter(), unknown_clips=9)
    groups.add([Unit(0, 0, 10), Unit(0, 1, 40)], known=False)
    groups.add([Unit(1, 0, 10)], known=False)

    assert groups.take(hungry=False) == []
    assert [u.frames for u in groups.take(hungry=True)] == [40]
    assert [u.clip for u in groups.take(hungry=True)] == [0, 1]


def test_clip_of_unknown_length_that_will_not_come_holds_nobody_up() -> None:
    """An unreadable clip is cancelled, and those that waited for it leave."""
    groups = Groups(budget_frames=1000, max_units=99)
    groups.expect(Counter(), unknown_clips=2)
    groups.add([Unit(0, 0, 10)], known=False)
    assert groups.take(hungry=False) == []

    groups.cancel()

    assert [u.clip for u in groups.take(hungry=False)] == [0]


def test_clip_that_is_removed_comes_once_more_and_not_twice() -> None:
    """A damaged spectrogram's windows are taken back before they are added again."""
    groups = Groups(budget_frames=1000, max_units=99)
    groups.expect(Counter({10: 3}))
    groups.add([Unit(0, 0, 10), Unit(0, 1, 10)], known=True)
    groups.add([Unit(1, 0, 10)], known=True)

    groups.remove(0)
    groups.reopen()
    assert len(groups) == 1
    assert groups.take(hungry=False) == [], "clip 0 may still have mates for clip 1"
    groups.add([Unit(0, 0, 10), Unit(0, 1, 10)], known=False)

    assert sorted((u.clip, u.window) for u in groups.take(hungry=False)) == [(0, 0), (0, 1), (1, 0)]


@pytest.mark.parametrize("frames", [0, 5000])
def test_single_unit_beyond_the_budget_travels_alone(frames: int) -> None:
    """A very long window, or one of no frame at all, is a batch of its own and never stuck."""
    groups = Groups(budget_frames=100, max_units=1)
    groups.expect(Counter({frames: 2}))
    groups.add([Unit(0, 0, frames), Unit(0, 1, frames)], known=True)

    assert [[u.window for u in batch] for batch in drain(groups, hungry=False)] == [[0], [1]]


def test_run_of_3361_clips_on_a_gpu_meets_at_most_200_shapes() -> None:
    """Tiles, as the device gets faster and slower; batches that follow every change meet many times more."""
    random = np.random.default_rng(0)
    tiles = np.maximum(1, np.ceil((np.clip(random.lognormal(1.6, 0.9, 3361), 0.3, 30) * 63.9 - 128) / 128)).astype(int)

    def shapes(is_round: bool) -> set[tuple[int, int]]:
        groups = Groups(budget_frames=400_000, max_units=512, is_round=is_round)
        groups.expect(Counter(), unknown_clips=len(tiles))
        seen: list[list[Unit]] = []
        for number, count in enumerate(tiles):
            groups.add([Unit(number, i, 256) for i in range(count)], known=False)
            wished = int(256 * 180 * random.uniform(0.4, 1.6))
            if is_round:
                groups.follow(wished, 400_000)
            else:
                groups.budget_frames = wished
            while batch := groups.take(hungry=bool(random.random() < 0.3)):
                seen.append(batch)
        while batch := groups.take(hungry=True):
            seen.append(batch)
        taken = [(unit.clip, unit.window) for batch in seen for unit in batch]
        assert len(taken) == len(set(taken)) == tiles.sum()
        return {(len(batch), 256) for batch in seen}

    assert len(shapes(is_round=True)) <= len(ROUND_SIZES)
    assert len(shapes(is_round=False)) > 3 * len(ROUND_SIZES)


def test_budget_is_followed_when_it_changes_by_a_fifth_and_never_beyond_memory() -> None:
    """A size that memory no longer allows is left at once, by however little."""
    groups = Groups(budget_frames=1000, max_units=99)
    found = []
    for wished, most in ((1150, 9999), (850, 9999), (1250, 9999), (1100, 9999), (1100, 1200), (900, 9999)):
        groups.follow(wished, most)
        found.append(groups.budget_frames)
    assert found == [1000, 1000, 1250, 1250, 1200, 900]


def test_rounded_batches_leave_nobody_behind() -> None:
    """Eleven windows that nothing more will join leave as eight and three."""
    groups = Groups(budget_frames=1000, max_units=99, is_round=True)
    groups.add([Unit(0, i, 10) for i in range(11)], known=True)
    assert [len(groups.take(hungry=True)) for _ in range(3)] == [8, 3, 0]
