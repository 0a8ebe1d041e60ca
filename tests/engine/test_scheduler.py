"""The plan: the best member first, then gain per second; every prefix is a valid blend."""

import pytest

from soundpost.engine.scheduler import folds_that_share_batches, next_pass
from soundpost.ensemble.passes import Pass, all_passes
from soundpost.ensemble.recipes import Member, Named, Recipe


def recipe(
    name: str, scores: tuple[float, ...], views: int = 1, gains: dict[str, tuple[float, ...]] | None = None
) -> Recipe:
    return Recipe(
        name=name,
        labels=("Bark",),
        audio={},
        front_end=Named("log_mel", {}),
        model=Named("compact", {}),
        views=tuple(Named("whole", {"max_frames": 100 + i}) for i in range(views)),
        members=tuple(Member(name, str(i), "", "", {"lwlrap": score}) for i, score in enumerate(scores)),
        priors=(0.5,),
        gains=gains or {},
    )


def members_of(*recipes: Recipe) -> list[tuple[Recipe, Member]]:
    return [(r, m) for r in recipes for m in r.members]


def order(passes: list[Pass], seconds: dict[tuple[int, int], float] | None = None) -> list[tuple[int, int]]:
    done: list[Pass] = []
    cost = seconds or {}
    while (found := next_pass(passes, done, lambda p: cost.get((p.member, p.view), 1.0))) is not None:
        done.append(found)
    return [(p.member, p.view) for p in done]


def test_plan_holds_every_member_with_every_view_once() -> None:
    """Nothing is planned twice, nothing is left out, and the plan ends."""
    passes = all_passes(members_of(recipe("a", (0.9, 0.8), views=3), recipe("b", (0.7,))))

    assert sorted(order(passes)) == sorted((p.member, p.view) for p in passes)
    assert len(passes) == 2 * 3 + 1


def test_plan_begins_with_the_best_single_member_however_slow() -> None:
    """The first pass decides what every clip gets, so it is chosen by score and not by speed."""
    passes = all_passes(members_of(recipe("weak", (0.6,)), recipe("best", (0.9,))))

    assert order(passes, {(1, 0): 100.0})[0] == (1, 0)


def test_plan_begins_with_a_weaker_member_where_the_best_would_reach_few_clips() -> None:
    """Score times the share of clips reached: half of the clips by 0.9 are less than all of them by 0.6."""
    passes = all_passes(members_of(recipe("weak", (0.6,)), recipe("best", (0.9,))))

    def first(left_seconds: float) -> Pass | None:
        return next_pass(passes, [], lambda p: (5.0, 40.0)[p.member], left_seconds)

    assert first(20.0) == passes[0]
    assert first(30.0) == passes[1], "three quarters of the clips by 0.9 are more than all of them by 0.6"
    assert first(0.0) == passes[0], "when nothing can be reached any more, there is still a plan"


def test_plan_goes_on_by_gain_per_second() -> None:
    """The one of two further members that adds more in each second comes first."""
    passes = [Pass(0, 0, 0.9), Pass(1, 0, 0.02), Pass(2, 0, 0.03)]

    assert order(passes, {(1, 0): 1.0, (2, 0): 1.0}) == [(0, 0), (2, 0), (1, 0)]
    assert order(passes, {(1, 0): 1.0, (2, 0): 2.0}) == [(0, 0), (1, 0), (2, 0)]


def test_plan_shows_further_views_only_after_the_first() -> None:
    """A member's cheapest view comes first, even if a later one promises more."""
    found = order([Pass(0, 0, 0.9), Pass(0, 1, 0.01), Pass(1, 0, 0.001), Pass(1, 1, 0.5)])

    assert found.index((1, 0)) < found.index((1, 1))
    assert found.index((0, 0)) < found.index((0, 1))


def test_plan_with_a_member_that_makes_the_blend_worse_still_runs_it_last() -> None:
    """A recorded loss counts as next to no gain; it is not dropped behind the user's back."""
    passes = all_passes(members_of(recipe("a", (0.9, 0.9, 0.9), gains={"blend": (0.9, 0.85, 0.91)})))

    assert order(passes) == [(0, 0), (2, 0), (1, 0)]


@pytest.mark.parametrize("length", range(1, 8))
def test_every_prefix_of_the_plan_covers_all_clips_with_whole_passes(length: int) -> None:
    """However early the run ends, what has run is a set of distinct passes that begins with the best."""
    passes = all_passes(members_of(recipe("a", (0.7, 0.6), views=2), recipe("b", (0.9,), views=3)))

    prefix = order(passes)[:length]

    assert prefix[0] == (2, 0)
    assert len(set(prefix)) == length


def test_folds_that_share_batches_are_what_would_follow_and_differ_in_the_fold_alone() -> None:
    """Batches can be shared by members of one recipe that see the same view; the order of the plan stays."""
    members = members_of(recipe("a", (0.9,) * 4, views=2), recipe("b", (0.8,) * 2))
    passes = all_passes(members)

    def found(done: list[Pass], work: Pass, most: int = 9) -> list[tuple[int, int]]:
        return [(p.member, p.view) for p in folds_that_share_batches(passes, done, work, members, lambda p: 1.0, most)]

    by_key = {(p.member, p.view): p for p in passes}
    assert found([], by_key[0, 0], most=1) == [(0, 0)]
    assert found([], by_key[4, 0]) == [(4, 0)], "what the plan runs next is another recipe's"
    first = by_key[0, 0]
    second = next_pass(passes, [first], lambda p: 1.0)
    assert second is not None
    together = found([first], second)
    one_by_one = order(passes)[1:]
    assert together == one_by_one[: len(together)], "sharing a batch changes no order"
    assert len({(members[member][0].name, view) for member, view in together}) == 1
    assert found([first], second, most=2) == together[:2]
