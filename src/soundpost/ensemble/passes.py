"""The passes of a run (member x view) and what each is expected to add; every set of them is a valid blend."""

from collections.abc import Sequence
from dataclasses import dataclass

from soundpost.ensemble.recipes import Member, Recipe


@dataclass(frozen=True)
class Pass:
    """One member with one view over all clips."""

    member: int  # index in the run's list of members
    view: int  # index in the recipe's views
    gain: float  # what this pass adds to the blend's score, as the recipe recorded or guessed

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
