"""The first pass of a dry run: what is spent once is told apart from what every second of audio costs."""

from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from soundpost.forecast import first_pass
from soundpost.forecast.first_pass import DECODE, FEATURES, FORWARD, FirstPass, Measured
from soundpost.forecast.forecast import Capacity, FrontEndCost, Load, PassCost, foretell

ONE_CORE = Capacity(cores=1, lanes=1, on_gpu=False, resident_bytes=0, cache_bytes=10**9, disk_bytes=0)
CLIPS = 10  # each of two seconds, of which trimming leaves one


class Pass:
    """Clips that are answered one after the other, and a clock that a test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.seen = np.zeros(CLIPS, bool)
        self.report = SimpleNamespace(seconds=defaultdict(float), audio_seconds=0.0)
        clips = [SimpleNamespace(name=str(number)) for number in range(CLIPS)]
        self.session: Any = SimpleNamespace(
            report=self.report,
            clips=clips,
            contest=SimpleNamespace(of_clips=lambda answered: answered),
            predictions=SimpleNamespace(seen=lambda member, view: self.seen),
        )
        monkeypatch.setattr(first_pass.time, "monotonic", lambda: self.now)
        work: Any = SimpleNamespace(member=0, view=0)
        self.watched = FirstPass(self.session, work, {clip.name: 2.0 for clip in clips}, ONE_CORE)

    def answer(self, clips: int, extra: float = 0.0) -> None:
        """So many clips more, each for a second of the core; the first of them for more."""
        for number in range(clips):
            self.seen[int(self.seen.sum())] = True
            self.report.audio_seconds += 1.0
            self.report.seconds[DECODE] += 0.1
            self.report.seconds[FEATURES] += 0.2
            self.report.seconds[FORWARD] += 0.7 + (extra if number == 0 else 0.0)
            self.now += 1.0 + (extra if number == 0 else 0.0)
            self.look()

    def look(self) -> None:
        """What a run calls between two pieces of news."""
        run: Any = SimpleNamespace(done=int(self.seen.sum()), total=CLIPS)
        self.watched.look(run)

    def measured(self) -> Measured:
        """What it cost, which is something."""
        found = self.watched.measured()
        assert found is not None
        return found


def test_what_the_first_clip_pays_once_is_no_price_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rates are for each second that the headers say; five seconds of trials stand beside them."""
    made = Pass(monkeypatch)
    made.answer(CLIPS, extra=5.0)

    found = made.measured()

    assert (found.clips, found.audio_seconds, found.mean_decoded) == (10, 20.0, 1.0)
    assert (found.decode, found.features, found.forward) == pytest.approx((0.05, 0.1, 0.35))
    assert (found.clock, found.explained, found.once_seconds) == pytest.approx((9.0, 9.0, 5.0))


def test_waiting_behind_the_first_clips_is_no_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that runs twice as long as the work explains is an overhead of the whole pass."""
    made = Pass(monkeypatch)
    for _ in range(CLIPS):
        made.answer(1)
        made.now += 1.0

    found = made.measured()

    # The look comes before the clip's second of waiting, which so falls into the measured part.
    assert found.clock / found.explained == pytest.approx(19 / 9)
    assert found.once_seconds == 0.0


def test_pass_that_was_cut_behind_its_first_clips_is_measured_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Too little lies behind that moment to tell a rate."""
    made = Pass(monkeypatch)
    made.answer(1, extra=5.0)

    found = made.measured()

    assert (found.clips, found.forward, found.once_seconds) == (1, pytest.approx(5.7 / 2), 0.0)


def test_pass_without_an_answer_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no price then."""
    assert Pass(monkeypatch).watched.measured() is None


def test_forecast_adds_what_is_spent_once_whatever_the_load() -> None:
    """It is stretched by no overhead and by no number of clips."""
    costs = {"mel": FrontEndCost(0.0, 0.0, 1.0)}
    plan = [PassCost("a/1 whole", "mel", 0.1, once_seconds=5.0), PassCost("a/2 whole", "mel", 0.1)]

    few, many = (
        foretell(plan, costs, ONE_CORE, Load(1, seconds, 1e9, 0.0, 0.0, overhead=2.0)) for seconds in (10.0, 1000.0)
    )

    assert [step.seconds for step in few.steps] == pytest.approx([7.0, 2.0])
    assert [step.seconds for step in many.steps] == pytest.approx([205.0, 200.0])
