"""The plan: passes (member x view), best gain per second first; every prefix of it is a valid blend."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from soundpost.ensemble.recipes import Member, Recipe


@dataclass(frozen=True)
class Pass:
    """One member with one view over all clips."""

    member: int  # index in the run's list of members
    view: int  # index in the recipe's views
    gain: float  # of the blend's score when this pass joins, as the recipe recorded or guessed

    def name(self, members: Sequence[tuple[Recipe, Member]]) -> str:
        """recipe/fold view, as logs call it."""
        recipe, member = members[self.member]
        return f"{member.name} {recipe.views[self.view].name}"


def all_passes(members: Sequence[tuple[Recipe, Member]]) -> list[Pass]:
    """Every member with every view of its recipe, with its gain.

    A recipe that was scored when it was made carries [gains]: blend[k] is the score of its best k + 1 members with
    the first view, views[j] that of all its members with the first j + 1 views. Where these are missing, the first
    member counts with its own score and each further pass with a tenth of the one before.
    """
    rank: dict[str, int] = {}
    passes = []
    for number, (recipe, member) in enumerate(members):
        k = rank.get(recipe.name, 0)
        rank[recipe.name] = k + 1
        score = float(member.scores.get("lwlrap", 0.5))
        passes.append(Pass(number, 0, _step(recipe.gains.get("blend", ()), k, score)))
        for j in range(1, len(recipe.views)):
            step = _step(recipe.gains.get("views", ()), j, score)
            passes.append(Pass(number, j, step / max(1, len(recipe.members))))
    return passes


def _step(scores: Sequence[float], index: int, first: float) -> float:
    if index < len(scores):
        return max(1e-6, scores[index] - (scores[index - 1] if index else 0.0))
    return max(1e-6, first * 10.0**-index)


def next_pass(
    passes: Sequence[Pass], done: Sequence[Pass], seconds: Callable[[Pass], float], left_seconds: float = math.inf
) -> Pass | None:
    """The pass to run now: the best first one gives every clip an answer; then gain per second decides.

    Where the best member would not reach every clip in time, the first pass is that of the highest score times the
    share of clips that it reaches: a clip without any answer costs more than one with a weaker answer.

    Args:
        passes: all of them.
        done: those that have run.
        seconds: expected duration of a pass.
        left_seconds: for passes.
    """
    seen = {(p.member, p.view) for p in done}
    begun = {p.member for p in done}
    open_passes = [p for p in passes if (p.member, p.view) not in seen and (p.view == 0 or p.member in begun)]
    if not open_passes:
        return None
    if not done:
        return max(open_passes, key=lambda p: (p.gain * min(1.0, left_seconds / max(1e-9, seconds(p))), -p.member))
    return max(open_passes, key=lambda p: (p.gain / max(1e-9, seconds(p)), -p.member))


def company(
    passes: Sequence[Pass],
    done: Sequence[Pass],
    work: Pass,
    members: Sequence[tuple[Recipe, Member]],
    seconds: Callable[[Pass], float],
    most: int,
) -> list[Pass]:
    """A pass, and those that would follow it anyway and differ in the fold alone, so that they can share batches.

    Args:
        passes: all of them.
        done: those that have run, without work.
        work: the pass to run now.
        members: of the run, by number.
        seconds: expected duration of a pass.
        most: passes that there is time and room for together.
    """
    found = [work]
    while len(found) < most:
        following = next_pass(passes, [*done, *found], seconds)
        if following is None or (members[following.member][0], following.view) != (members[work.member][0], work.view):
            break
        found.append(following)
    return found
