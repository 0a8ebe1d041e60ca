"""Which pass runs next, and which others share its batches: best gain per second, as far as the time goes."""

import math
from collections.abc import Callable, Mapping, Sequence

from soundpost.engine.predict_stage import BATCH_SECONDS
from soundpost.engine.session import Session
from soundpost.ensemble.passes import Pass
from soundpost.ensemble.recipes import Member, Recipe
from soundpost.inference.batch_model import BatchModel
from soundpost.inference.sizes import TYPICAL_SECONDS
from soundpost.resources.memory_budget import FOLD_GROUP_BYTES

FIRST_SHARE = 0.7  # share of the time left that the first pass may take and be expected to reach every clip
SHARED_TIME = 0.8  # share of the time left in which folds must be expected to end, to share batches
SHARED_WINDOWS = 4  # windows of a typical clip, at least, that a batch through all its folds has time for


class Scheduler:
    """The order of the passes of one run, corrected by what they are measured to take."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._members = session.models.members
        self._pass_seconds: dict[tuple[str, int], float] = {}  # (recipe, view) -> clock seconds of its latest pass

    def next(self, done: Sequence[Pass]) -> Pass | None:
        """The pass to run now; None when all have run."""
        left = FIRST_SHARE * max(0.0, self._session.deadline.left())
        return next_pass(self._session.models.open_passes(), done, self.expected_seconds, left)

    def sharing(self, work: Pass, done: Sequence[Pass], is_guessed: bool = False) -> list[Pass]:
        """The pass with those that share its batches: as many as surely end in time, once one like it was measured.

        Args:
            work: the pass.
            done: those that have run, without it.
            is_guessed: whether before that the try-out's speed will do, so that networks are there in time.
        """
        recipe, _ = self._members[work.member]
        seconds = self._pass_seconds.get((recipe.name, work.view)) or (self.expected_seconds(work) if is_guessed else 0)
        if not seconds:
            return [work]
        most = min(self._most_sharing(work), int(SHARED_TIME * self._session.deadline.left() / seconds))
        passes = self._session.models.open_passes()
        return folds_that_share_batches(passes, done, work, self._members, self.expected_seconds, most)

    def took(self, work: Pass, seconds: float) -> None:
        """A whole pass took so many seconds of the clock."""
        self._pass_seconds[self._members[work.member][0].name, work.view] = seconds

    def expected_seconds(self, work: Pass) -> float:
        """Speed of the pass's recipe times frames shown of as many typical clips as there are, on all lanes."""
        session = self._session
        recipe, _ = self._members[work.member]
        speed = session.speed.get(recipe.name)
        frames = session.models.sizes.typical_frames(recipe, work.view) * len(session.clips) / len(session.lanes)
        return (speed.seconds(frames) if speed else None) or float(frames)

    def seconds_after(self, begun: Sequence[Pass]) -> float:
        """What the passes that have not begun are expected to take."""
        return sum(self.expected_seconds(work) for work in self._session.models.open_passes() if work not in begun)

    def predictors(self, works: Sequence[Pass]) -> Mapping[str, BatchModel]:
        """What answers the batches of these passes, by device."""
        models = self._session.models
        if len(works) == 1:
            return self._session.predictors(works[0].member) or {}
        return models.fold_group([work.member for work in works])

    def _most_sharing(self, work: Pass) -> int:
        """How many members' weights have room and leave a batch several windows."""
        models = self._session.models
        recipe, _ = self._members[work.member]
        window = models.sizes.longest_window(recipe, TYPICAL_SECONDS)
        seconds = self._session.speed[recipe.name].seconds(window) or 1e-9
        if self._session.on_gpu:
            return int(BATCH_SECONDS["cuda"] / SHARED_WINDOWS / seconds)
        n_bytes = sum(predictor.n_bytes for predictor in (self._session.predictors(work.member) or {}).values())
        return min(int(BATCH_SECONDS["cpu"] / SHARED_WINDOWS / seconds), int(FOLD_GROUP_BYTES / max(1, n_bytes)))


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


def folds_that_share_batches(
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
        members: those of the run, by number.
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
