"""How far the run is: a bar in a terminal or notebook, plain lines now and then in a log."""

import sys
import time
from collections.abc import Callable
from typing import NoReturn

from tqdm import tqdm

LINE_SECONDS = 15.0  # between two plain lines of one pass


class Progress:
    """One pass after the other, and lines of the log between them.

    Args:
        kind: "bar", "lines", "quiet", or "auto": a bar where the error stream is a terminal.
        limit_seconds: of the run, for the heads of lines.
        elapsed: seconds since the run began.
    """

    def __init__(self, kind: str, limit_seconds: float, elapsed: Callable[[], float]) -> None:
        self.kind = ("bar" if sys.stderr.isatty() else "lines") if kind == "auto" else kind
        self._limit = limit_seconds
        self._elapsed = elapsed
        self._bar: tqdm[NoReturn] | None = None
        self._name = ""
        self._total = 0
        self._last = time.monotonic()

    def say(self, text: str) -> None:
        """One line of the log, with the time before it."""
        line = f"[{self._elapsed():6.1f} s of {self._limit:,.0f} s] {text}"
        if self._bar is not None:
            self._bar.write(line, file=sys.stdout)
        else:
            print(line, flush=True)

    def begin(self, name: str, total: int) -> None:
        """A pass over so many clips begins."""
        self._name, self._total, self._last = name, total, time.monotonic()
        if self.kind == "bar":
            self._bar = tqdm(total=total, desc=name, unit="clip", leave=False, file=sys.stderr, mininterval=0.2)

    def at(self, count: int, note: Callable[[], str]) -> None:
        """So many clips of the pass have their answer; note is asked only when a line is due."""
        if self._bar is not None:
            self._bar.update(count - self._bar.n)
        elif self.kind == "lines" and time.monotonic() - self._last >= LINE_SECONDS:
            self._last = time.monotonic()
            self.say(f"{self._name}: {count:,} of {self._total:,} clips; {note()}")

    def end(self) -> None:
        """The pass is over."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
