"""The passes of a run: every member with every view, and what each is expected to add."""

from itertools import pairwise

import pytest

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


def test_plan_of_recorded_gains_uses_their_steps() -> None:
    """What a recipe recorded when it was made is believed: each member adds the step of the growing blend."""
    r = recipe("a", (0.8, 0.8), views=2, gains={"blend": (0.80, 0.85), "views": (0.85, 0.87)})

    gains = {(p.member, p.view): p.gain for p in all_passes(members_of(r))}

    assert gains[0, 0] == pytest.approx(0.80)
    assert gains[1, 0] == pytest.approx(0.05)
    assert gains[0, 1] == gains[1, 1] == pytest.approx(0.01), "the views' gain is shared by both members"


def test_plan_without_recorded_gains_expects_less_of_each_further_member() -> None:
    """Guessed gains fall from member to member and stay above zero, so that all of them run in time."""
    gains = [p.gain for p in all_passes(members_of(recipe("a", (0.9,) * 12)))]

    assert all(first >= second > 0 for first, second in pairwise(gains))


def test_pass_is_named_by_recipe_fold_and_view() -> None:
    """Logs speak of members as the command line does."""
    assert Pass(1, 0, 0.1).name(members_of(recipe("a", (0.9, 0.8)))) == "a/1 whole"
