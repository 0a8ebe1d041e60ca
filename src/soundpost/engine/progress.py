"""How far the run is: a bar of one line in a terminal, plain lines now and then in a log or a notebook."""

import shutil
import sys
import time
from collections.abc import Callable
from typing import NoReturn

from tqdm import tqdm

from soundpost.resources.streams import put

LINE_SECONDS = 15.0  # between two plain lines, at least
LINE_SHARE = 0.02  # the same as a part of the time limit: a saved log keeps some fifty of them, however long the run
COLUMNS = 80  # width of the bar, at most, its last one left free so that no terminal wraps it
NAME_COLUMNS = 30  # what the bar has for the name of the pass
LAYOUT = "{desc}|{bar}| {n_fmt}/{total_fmt}{postfix}"


class Progress:
    """One pass after the other, and lines of the log between them.

    Args:
        kind: "bar", "lines", "quiet", "auto" (a bar where the error stream is a terminal), or "none", for a caller who
            tells of the run himself: not even lines of the log.
        limit_seconds: the limit of the run, for the heads of lines.
        elapsed: seconds since the run began.
    """

    def __init__(self, kind: str, limit_seconds: float, elapsed: Callable[[], float]) -> None:
        self.kind = ("bar" if sys.stderr.isatty() else "lines") if kind == "auto" else kind
        self._limit = limit_seconds
        self._elapsed = elapsed
        self._bar: tqdm[NoReturn] | None = None
        self._name = ""
        self.unit = "clips"  # what passes go through, in words
        self._total = 0
        self._last = time.monotonic()

    def say(self, text: str) -> None:
        """One line of the log, with the time before it."""
        if self.kind == "none":
            return
        line = f"[{self._elapsed():6.1f} s of {self._limit:,.0f} s] {text}"
        if self._bar is None:
            put(line)
        else:
            with self._bar.external_write_mode(file=sys.stdout):
                put(line)

    def begin(self, name: str, total: int) -> None:
        """A pass over so many clips begins."""
        self._name, self._total, self._last = name, total, time.monotonic()
        if self.kind == "bar":
            short = name if len(name) <= NAME_COLUMNS else name[: NAME_COLUMNS - 1] + "…"
            columns = min(COLUMNS, shutil.get_terminal_size((COLUMNS, 24)).columns) - 1
            self._bar = tqdm(
                total=total,
                desc=short,
                bar_format=LAYOUT,
                ncols=columns,
                leave=False,
                file=Unfailing(),
                mininterval=0.2,
            )

    def at(self, count: int, left_seconds: Callable[[], float | None], note: Callable[[], str]) -> None:
        """So many clips of the pass have their answer.

        Args:
            count: clips of the pass.
            left_seconds: what the whole run is expected to take, None where nothing is known; asked when shown.
            note: what a plain line says beside that; asked when one is due.
        """
        if self._bar is not None:
            self._bar.set_postfix_str(about(left_seconds()), refresh=False)
            self._bar.update(count - self._bar.n)
        elif self.kind == "lines" and time.monotonic() - self._last >= max(LINE_SECONDS, LINE_SHARE * self._limit):
            self._last = time.monotonic()
            self.say(f"{self._name}: {count:,} of {self._total:,} {self.unit}; run: {about(left_seconds())}; {note()}")

    def end(self) -> None:
        """The pass is over."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class Unfailing:
    """The error stream for a bar: where it is closed, the bar goes nowhere and the run goes on."""

    def write(self, text: str) -> None:
        """Print it as it is."""
        put(text, sys.stderr, end="")

    def flush(self) -> None:
        """Every write is flushed."""


def about(seconds: float | None) -> str:
    """What is left, as a person says it."""
    if seconds is None:
        return "no estimate yet"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02} min left" if minutes else f"{rest} s left"


def passes_named(first: int, count: int, total: int, name: str) -> str:
    """What a pass, or several that share their batches, is called: each counts as one."""
    numbers = f"pass {first}" if count == 1 else f"passes {first}-{first + count - 1}"
    return f"{numbers} of {total} {name}"
