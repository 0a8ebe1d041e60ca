"""A worker seen from outside: a task, the process that does it, what it says, and whether it is alive."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from soundpost.training.session.session import Session

WAIT_SECONDS = 0.1  # for a killed process to be gone
LOOK_AGAIN_SECONDS = 1.0  # between two looks for signs of life
Say = Callable[[str], None]


@dataclass(frozen=True)
class Task:
    """What one process is to do."""

    session: Session
    file: str  # where it is told
    sign: str  # file that is touched to show life; of a first look the answer
    plan: str = ""  # without one: have a first look
    fold: str = ""  # without one: the scores of the plan
    device: str = "cpu"
    parent: int = 0

    @staticmethod
    def read(file: Path) -> "Task":
        """From the file that says it."""
        table: Mapping[str, Any] = json.loads(file.read_text("utf-8"))
        return Task(**{**table, "session": Session.from_json(table["session"])})

    def write(self) -> None:
        """Into the file that says it."""
        Path(self.file).write_text(json.dumps(dataclasses.asdict(self)), "utf-8")


class Worker:
    """A process at work on a task; its lines go to the log as they come.

    Args:
        task: what it is to do.
        title: begins its lines.
        module: what it runs.
        n_lanes: processes that share the cores.
        say: prints one line of the log.
    """

    def __init__(self, task: Task, title: str, module: str, n_lanes: int, say: Say) -> None:
        task.write()
        self.line = ""  # the last one that tells of an end
        self._title, self._say = title, say
        self._sign = Path(task.sign)
        self._features = Path(task.session.scratch) / "features"
        self._signs: list[tuple[str, int, int]] = []
        self._looked = self._seen = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-u", "-m", module, task.file],
            env=_environment(n_lanes if task.device == "cpu" else 1),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._relay = threading.Thread(target=self._hear, args=(self._process.stdout,), daemon=True)
        self._relay.start()

    @property
    def is_at_work(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def status(self) -> int:
        """How it ended, after its last lines were heard; -9 also where a kill is held up in a driver or a disk."""
        self._relay.join(1.0)
        self._signal_all(signal.SIGKILL)  # what it may have started
        status = self._process.poll()
        return -signal.SIGKILL if status is None else status

    def ask_to_stop(self) -> None:
        """It pauses at its next step."""
        with suppress(ProcessLookupError):
            self._process.terminate()

    def kill(self) -> None:
        """It ends now."""
        self._signal_all(signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):  # in a driver or a dead disk, even SIGKILL waits
            self._process.wait(WAIT_SECONDS)

    def silence(self) -> float:
        """Seconds since the last sign of life: a touch of its file, or features that grow."""
        now = time.monotonic()
        if now - self._looked > LOOK_AGAIN_SECONDS:
            self._looked = now
            signs = []
            for path in (self._sign, *self._features.glob("*/values")):
                with suppress(OSError):
                    signs.append((path.name, path.stat().st_mtime_ns, path.stat().st_size))
            if signs != self._signs:
                self._signs, self._seen = signs, now
        return now - self._seen

    def _signal_all(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _hear(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                if text := line.rstrip():
                    if text.startswith(("error: ", "paused in ")):
                        self.line = text
                    self._say(f"{self._title}: {text}")


def _environment(n_lanes: int) -> dict[str, str]:
    """This one, with the source first, no bars in the log, and a share of the cores for each lane without a GPU."""
    package = str(Path(__file__).resolve().parents[3])
    paths = [package, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    own = {"PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)), "TQDM_DISABLE": "1"}
    if n_lanes > 1:
        own["OMP_NUM_THREADS"] = str(max(1, len(os.sched_getaffinity(0)) // n_lanes))
    return {**os.environ, **own}
