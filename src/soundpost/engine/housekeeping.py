"""What is done now and then while a pass runs: the log, the submission on disk, and memory that gets short."""

from collections.abc import Callable

from soundpost.engine.pass_run import PassRun
from soundpost.engine.session import Session
from soundpost.resources.memory import GIB, return_free_memory
from soundpost.resources.memory_budget import SQUEEZE_SHARE, TRIM_SHARE


class Housekeeping:
    """Chores of one session; each call is short.

    Args:
        session: what the passes of the run share.
        later_seconds: what the passes after the one that runs are expected to take.
    """

    def __init__(self, session: Session, later_seconds: Callable[[], float]) -> None:
        self._session = session
        self._later_seconds = later_seconds

    def attend(self, run: PassRun) -> None:
        """All chores that are due, between two pieces of news of a pass."""
        session = self._session
        session.heartbeat.beat()
        self.say_notes()
        session.progress.at(run.done, lambda: self._seconds_left(run), self.cache_note)
        if session.live.is_due:
            session.live.renew()
        if session.memory.look():
            self.sample()
            self._make_room()

    def _seconds_left(self, run: PassRun) -> float | None:
        """What the whole run still takes: this pass and those after it, as far as there is time for them."""
        seconds = run.seconds_left()
        return (
            None if seconds is None else max(0.0, min(seconds + self._later_seconds(), self._session.deadline.left()))
        )

    def sample(self) -> None:
        """Tell where memory and answers stand."""
        session = self._session
        cache, answers = session.cache, session.predictions.total()
        session.log.sampled(session.memory.used_bytes, cache.memory_bytes, cache.disk_bytes, answers)

    def say_notes(self) -> None:
        """What lanes have found out goes into the log."""
        notes = self._session.models.notes
        while notes:
            self._session.progress.say(notes.popleft())

    def cache_note(self) -> str:
        """Where the spectrograms lie and how much memory is used, for the log."""
        cache, memory = self._session.cache, self._session.memory
        return (
            f"spectrograms {cache.memory_bytes / GIB:.2f} GiB in memory, {cache.disk_bytes / GIB:.2f} GiB "
            f"spilled ({cache.counts['disk']:,} {self._session.report.units.worked}); {memory.used_bytes / GIB:.2f} of "
            f"{memory.limit_bytes / GIB:.2f} GiB used"
        )

    def _make_room(self) -> None:
        session = self._session
        cache, memory = session.cache, session.memory
        beside_cache = memory.used_bytes - cache.memory_bytes
        if beside_cache > session.expected_bytes or memory.used_bytes > TRIM_SHARE * memory.limit_bytes:
            return_free_memory()
        if memory.used_bytes > SQUEEZE_SHARE * memory.limit_bytes:
            session.report.counts["memory squeezes"] += 1
            cache.freeze()
            frames = session.batch_frames
            frames.update({name: max(1, count // 2) for name, count in frames.items()})
