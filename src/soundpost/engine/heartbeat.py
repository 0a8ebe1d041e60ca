"""Signs of life for the supervisor while GPUs are in use: one that hangs may take the whole process with it."""

import time
from collections.abc import Callable
from typing import Any

from soundpost.resources.deadline import hang_seconds

SIGNS = 10  # signs of life within the time after which a device is taken to hang

Tell = Callable[[dict[str, Any]], None]  # takes an event for the supervisor


class Heartbeat:
    """Promises of the next sign of life, each to be kept by a further call.

    Args:
        tell: takes an event for the supervisor.
        limit_seconds: the run's time limit.
        is_needed: whether a GPU may be used; without one nothing is promised, as a busy core is no broken one.
        clock: seconds, monotonic.
    """

    def __init__(
        self, tell: Tell, limit_seconds: float, is_needed: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.is_needed = is_needed
        self.within_seconds = hang_seconds(limit_seconds)
        self._tell = tell
        self._clock = clock
        self._told = -self.within_seconds

    def beat(self) -> None:
        """A sign of life; the next one comes in time."""
        if self.is_needed and self._clock() - self._told >= self.within_seconds / SIGNS:
            self._told = self._clock()
            self._tell({"event": "alive", "within": self.within_seconds})

    def rest(self) -> None:
        """What follows asks nothing of a GPU and may take long: nothing is promised any more."""
        if self.is_needed:
            self.is_needed = False
            self._tell({"event": "alive", "within": 0})
