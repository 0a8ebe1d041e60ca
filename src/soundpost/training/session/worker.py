"""The process that trains, started by the guard: python -m soundpost.training.session.worker TASK.

It can die in any way and at any moment: what it makes is put in place whole, and the next one goes on from the last
checkpoint. TASK is a JSON file: the session, what to do, on which device, and the file that it touches to show life.
"""

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from soundpost.errors import KitError
from soundpost.exit_status import STATUS_DEFECT, STATUS_OK, STATUS_REFUSED
from soundpost.resources.processes import die_with_parent
from soundpost.training.interrupt import Paused
from soundpost.training.session.session import STATUS_PAUSED
from soundpost.training.session.task import Task

LINE_SECONDS = 60.0  # between two lines about one member's epochs
TOUCH_SECONDS = 1.0  # between two signs of life


def main(argv: list[str]) -> int:
    """Do a task: 0 done, 4 paused, 2 refused with the reason in a line, 1 a defect."""
    die_with_parent()
    task = Task.read(Path(argv[0]))
    stop = Stop(task)
    signal.signal(signal.SIGTERM, stop.ask)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if os.getppid() != task.parent:
        return STATUS_DEFECT  # it died before die_with_parent was in force
    try:
        return _do(task, stop)
    except ImportError as error:
        print(f"error: {error}. Run where it is installed, as in Kaggle's image")
        return STATUS_REFUSED
    except KitError as error:
        print(f"error: {error}")
        return STATUS_REFUSED
    except Exception:
        traceback.print_exc()
        return STATUS_DEFECT


class Stop:
    """Whether it is time to stop; asked at every step, so that asking is the sign of life."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.asked = False
        self._touched = 0.0

    def ask(self, number: int, frame: FrameType | None) -> None:
        """Take a signal in."""
        self.asked = True

    def __call__(self) -> bool:
        """Whether to stop at this step."""
        now = time.monotonic()
        if now - self._touched > TOUCH_SECONDS:
            self._touched = now
            Path(self.task.sign).touch()
        return self.asked or now > self.task.session.pause_at


def _do(task: Task, stop: Callable[[], bool]) -> int:
    from soundpost.training.session import work

    if not task.plan:
        Path(task.sign).write_text(json.dumps(work.look(task.session).to_json()), "utf-8")
        return STATUS_OK
    if not task.fold:
        work.tell_scores(task.session, task.plan, task.device)
        return STATUS_OK
    try:
        work.train(task.session, task.plan, task.fold, task.device, stop, Lines(task))
    except Paused as pause:
        print(f"paused in {pause}")
        return STATUS_PAUSED
    return STATUS_OK


class Lines:
    """A line about a member's epochs, at most one a minute, as Kaggle keeps every line of a log."""

    def __init__(self, task: Task) -> None:
        self.name = f"{task.plan}/{task.fold}"
        self._said = -LINE_SECONDS

    def __call__(self, fold: str, rows: list[dict[str, float | int | str]]) -> None:
        """Tell of the last epoch."""
        now = time.monotonic()
        if now - self._said >= LINE_SECONDS:
            self._said = now
            told = ", ".join(f"{key} {_short(value)}" for key, value in rows[-1].items())
            print(told, flush=True)


def _short(value: float | int | str) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # threads and CUDA have nothing left to lose; an orderly end of theirs can take seconds
