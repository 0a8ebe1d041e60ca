"""Writes submissions beside the run, the newest one first, so that a slow disk never holds up prediction."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from soundpost.contest import submission
from soundpost.contest.submission import Sample


class Writer:
    """A thread that replaces submission.csv by the newest table handed in.

    Args:
        path: submission.csv.
        sample: its rows and columns.
        wrote: told after each write: seconds it took, and how many clips were answered in it.
    """

    def __init__(self, path: Path, sample: Sample, wrote: Callable[[float, int], None]) -> None:
        self._path, self._sample, self._wrote = path, sample, wrote
        self._condition = threading.Condition()
        self._table: tuple[np.ndarray, int] | None = None
        self._busy = False
        self.error = ""  # why the last write failed; the file before it is untouched
        threading.Thread(target=self._run, name="writer", daemon=True).start()

    def hand_in(self, table: np.ndarray, n_answered: int) -> None:
        """The newest table, (clips, columns); one that has not been begun yet is dropped for it."""
        with self._condition:
            self._table = (table, n_answered)
            self._condition.notify_all()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being written or waits."""
        with self._condition:
            return not self._busy and self._table is None

    def finish(self, timeout_seconds: float) -> bool:
        """Wait until all is written, at most so long; whether it is."""
        with self._condition:
            return self._condition.wait_for(lambda: not self._busy and self._table is None, timeout_seconds)

    def _run(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._table is not None)
                assert self._table is not None
                (table, n_answered), self._table, self._busy = self._table, None, True
            started = time.monotonic()
            try:
                submission.write(self._path, self._sample, (row.tolist() for row in table))
                self.error = ""
                self._wrote(time.monotonic() - started, n_answered)
            except Exception as error:  # noqa: BLE001  the old file stands; the engine reports this and goes on
                self.error = f"{type(error).__name__}: {error}"
            with self._condition:
                self._busy = False
                self._condition.notify_all()
