"""What a run tells about itself while it goes on, as events for the supervisor, which writes run.json from them."""

from collections.abc import Callable, Sequence
from typing import Any

from soundpost.engine.lanes import Lane
from soundpost.engine.report import Report
from soundpost.ensemble.blend import Blend
from soundpost.ensemble.recipes import Member, Recipe

GAP_SECONDS = 0.02  # between two batches of a lane that are told as one stretch of work
GAP_SHARE = 0.002  # the same as a part of the seconds since the start, so that a long run is told as shortly


class RunLog:
    """The events of one engine. Times are seconds since the run began.

    Args:
        tell: takes an event.
        elapsed: seconds since the run began.
    """

    def __init__(self, tell: Callable[[dict[str, Any]], None], elapsed: Callable[[], float]) -> None:
        self._tell = tell
        self._elapsed = elapsed
        self._numbers: dict[int, int] = {}  # lane -> its number, by what it is
        self._work: dict[int, list[float]] = {}  # lane -> begin, end, windows of the stretch that grows

    def ready(
        self,
        lanes: Sequence[Lane],
        workers: int,
        memory_limit_bytes: int,
        members: Sequence[tuple[Recipe, Member]],
        blend: Blend,
    ) -> None:
        """Memory is shared out and the lanes stand: what they are, and how answers will be blended."""
        self._numbers = {id(lane): number for number, lane in enumerate(lanes)}
        stages = [
            {"output": s.output, "rule": s.name, "inputs": list(s.inputs), "weights": dict(s.weights)}
            for s in blend.stages
        ]
        self._log(
            "ready",
            devices=[lane.device for lane in lanes],
            workers=workers,
            memory_limit_bytes=memory_limit_bytes,
            members=[member.name for _, member in members],
            blend={"folds": blend.folds, "stages": stages},
        )

    def pass_began(self, name: str, members: int, clips: int, unit: str = "clips") -> None:
        """A pass over so many clips, or whatever the unit is, begins; several members may share its batches."""
        self._log(
            "pass", name=name, members=members, clips=clips, unit=unit, begin=self._elapsed(), end=None, complete=False
        )

    def pass_ended(self, done: int, complete: bool) -> None:
        """It is over, for so many clips."""
        self._log("pass_ended", done=done, complete=complete, end=self._elapsed())

    def worked(self, lane: Lane, seconds: float, windows: int) -> None:
        """A lane has just answered a batch, which took it so many seconds."""
        number = self._numbers[id(lane)]
        end = self._elapsed()
        begin = max(0.0, end - seconds)
        growing = self._work.get(number)
        if growing and begin - growing[1] <= max(GAP_SECONDS, GAP_SHARE * end):
            growing[1:] = [end, growing[2] + windows]
            return
        self._flush(number)
        self._work[number] = [begin, end, windows]

    def sampled(self, used_bytes: int, cache_bytes: int, spilled_bytes: int, answers: int) -> None:
        """Memory of the tree, spectrograms in memory and on disk, and answers over all passes so far."""
        row = [round(self._elapsed(), 2), used_bytes, cache_bytes, spilled_bytes, answers]
        self._tell({"event": "log", "kind": "sample", "row": row})

    def ended(self, report: Report, answered: int, peak_bytes: int) -> None:
        """The report of the run; what is still growing is told first."""
        for number in list(self._work):
            self._flush(number)
        self._log(
            "ended",
            answered=answered,
            rows=report.n_answers or report.n_clips,
            unit=report.units.answers,
            peak_bytes=peak_bytes,
            seconds={stage: round(seconds, 3) for stage, seconds in report.seconds.items()},
            audio_seconds=round(report.audio_seconds, 1),
            missing=dict(report.missing),
            unreadable=dict(report.unreadable),
            unfinished=dict(report.unfinished),
            too_large=dict(report.too_large),
            mended=list(report.remarks),
            silent=list(report.silent.values()),
            second_reader=list(report.second_reader.values()),
            members_skipped=dict(report.members_skipped),
            devices_lost=dict(report.devices_lost),
            passes_failed=dict(report.passes_failed),
            warnings=list(report.warnings),
            fallbacks={what: n for what, n in report.counts.items() if n},
            passes_planned=report.passes_planned,
        )

    def _flush(self, number: int) -> None:
        if stretch := self._work.pop(number, None):
            begin, end, windows = stretch
            row = [number, round(begin, 2), round(end, 2), int(windows)]
            self._tell({"event": "log", "kind": "lane", "row": row})

    def _log(self, kind: str, **facts: Any) -> None:
        self._tell({"event": "log", "kind": kind, **facts})
