"""The instant at which work must stop, and estimates of seconds that are corrected by what is measured."""

import time
from collections.abc import Callable

EXIT_SECONDS = 0.5  # the least that an orderly exit takes
EXIT_SHARE = 0.1  # an exit may take this share of what the start took; a machine that starts slowly ends slowly, too
KILL_SECONDS = (0.6, 5.0)  # least and most that is kept for killing what still runs, and for seeing it gone
KILL_SHARE = 0.02  # this share of the limit is kept, between these two
HANG_SECONDS = 60.0  # a device that gives no sign for so long is taken to hang
HANG_SHARE = 1 / 6  # or for this share of the limit, where that is shorter


def kill_seconds(limit_seconds: float) -> float:
    """How long before the limit whatever still runs is killed: it takes a crowded machine seconds."""
    least, most = KILL_SECONDS
    return min(most, max(least, KILL_SHARE * limit_seconds))


def hang_seconds(limit_seconds: float) -> float:
    """How long a device may give no sign before it is taken to hang: a minute, or a part of a short limit."""
    return min(HANG_SECONDS, HANG_SHARE * limit_seconds)


class Deadline:
    """A limit on the whole run with a reserve for writing.

    Args:
        limit_seconds: from started to the exit of the last process.
        started: reading of the clock when the limit began to count.
        clock: seconds, monotonic.
        engine_started: reading of the clock when this engine began, which may follow others of the run; None: started.
    """

    def __init__(
        self,
        limit_seconds: float,
        started: float,
        clock: Callable[[], float] = time.monotonic,
        engine_started: float | None = None,
    ) -> None:
        self.limit_seconds = limit_seconds
        self._started = started
        self._engine_started = started if engine_started is None else engine_started
        self._clock = clock
        self._write_seconds = 0.1
        self._exit_seconds = EXIT_SECONDS

    def elapsed(self) -> float:
        """Seconds since the limit began to count."""
        return self._clock() - self._started

    def wrote(self, seconds: float) -> None:
        """Correct the reserve: a write of the whole submission took so many seconds."""
        self._write_seconds = max(self._write_seconds, seconds)

    def ready(self) -> None:
        """Everything is loaded: correct the reserve by the seconds that this engine took for it."""
        self._exit_seconds = max(EXIT_SECONDS, EXIT_SHARE * (self._clock() - self._engine_started))

    @property
    def reserve_seconds(self) -> float:
        """Kept for the last write, twice as long as the slowest so far, for the exit, and for killing."""
        return self._exit_seconds + 2 * self._write_seconds + kill_seconds(self.limit_seconds)

    def before_kill(self) -> float:
        """Seconds until whatever still runs is killed."""
        return self.limit_seconds - self.elapsed() - kill_seconds(self.limit_seconds)

    def left(self) -> float:
        """Seconds of work that are left before the reserve begins; negative when it has begun."""
        return self.limit_seconds - self.reserve_seconds - self.elapsed()


class Estimate:
    """Seconds per unit of cost, from the latest measurements; older ones fade."""

    def __init__(self, fading: float = 0.9) -> None:
        self._fading = fading
        self._cost = 0.0
        self._seconds = 0.0

    def add(self, cost: float, seconds: float) -> None:
        """A piece of work of this cost took so many seconds."""
        self._cost = self._cost * self._fading + cost
        self._seconds = self._seconds * self._fading + seconds

    def seconds(self, cost: float) -> float | None:
        """Seconds that work of this cost will take; None before the first measurement."""
        return cost * self._seconds / self._cost if self._cost else None
