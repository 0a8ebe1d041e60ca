"""The memory of the whole process tree, measured again and again while the run goes on."""

import os
import time
from collections.abc import Callable, Iterable

from soundpost.resources.memory import memory_pressure, tree_memory

SECONDS = 0.5  # between two measurements; four times as long while less than half of the limit is used


class MemoryMonitor:
    """What the tree uses now and has used at most.

    Args:
        limit_bytes: what the tree may use.
        pids: asked anew at every measurement, because workers come and go.
        clock: seconds, monotonic.
    """

    def __init__(
        self, limit_bytes: int, pids: Callable[[], Iterable[int]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self.peak_bytes = 0
        self.pids = pids
        self._clock = clock
        self._measured = -4 * SECONDS
        self._pressure = 0.0

    def look(self, force: bool = False) -> bool:
        """Measure if it is time to, or at once; whether a measurement was made."""
        now = self._clock()
        pause = SECONDS if self.used_bytes > self.limit_bytes / 2 else 4 * SECONDS
        if not force and now - self._measured < pause:
            return False
        self._measured = now
        self.used_bytes = tree_memory([os.getpid(), *self.pids()])
        self.peak_bytes = max(self.peak_bytes, self.used_bytes)
        self._pressure = memory_pressure()
        return True

    def pressure(self) -> float:
        """The larger of the tree's share of its limit and the machine's used share, as last measured."""
        self.look()
        return max(self._pressure, self.used_bytes / self.limit_bytes)
