"""What the passes behind the first one cost, measured by running them as far as a dry run has time.

They cost less than their frames say: what a batch takes whatever it holds is shared by the folds and the variants of a
clip that go through together, and nothing is read or warmed up any more.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from soundpost.engine.run import Run
from soundpost.engine.session import Session
from soundpost.ensemble.passes import Pass

MORE_SECONDS = 20.0  # clock seconds for them, in all
FORWARD = "forward (lanes)"


@dataclass(frozen=True)
class LaterPass:
    """What one member's part of a pass took."""

    forward: float  # lane seconds
    clock: float  # s


Later = dict[tuple[str, int, bool], LaterPass]  # by recipe, view, and whether its batches were shared


def measure_later(session: Session, run: Run, done: Sequence[Pass], seconds: float = MORE_SECONDS) -> Later:
    """Run on, in the order of a true run, while the next pass is expected to end in time.

    Args:
        session: what the passes share.
        run: over that session.
        done: passes that have run.
        seconds: clock seconds that there are.
    """
    found: Later = {}
    ends = time.monotonic() + seconds
    begun = list(done)
    while (work := run.scheduler.next(begun)) is not None:
        works = run.scheduler.sharing(work, begun)
        if time.monotonic() + run.scheduler.expected_seconds(work) * len(works) > ends:
            break
        begun += works
        forward, began = session.report.seconds[FORWARD], time.monotonic()
        if not run.run_pass(works, begun):
            break
        took = session.report.seconds[FORWARD] - forward, time.monotonic() - began
        recipe, _ = session.models.members[work.member]
        found[recipe.name, work.view, len(works) > 1] = LaterPass(*(part / len(works) for part in took))
    return found
