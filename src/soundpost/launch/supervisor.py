"""The process that the user starts: it writes the first submission, starts the engine, and outlives it.

It imports nothing heavy and does nothing that can take long. So whatever becomes of the engine - out of memory, a
crash in a library, a device that hangs - there is somebody left who ends on time and tells the truth.
"""

import codecs
import json
import math
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO

from soundpost.contest import submission
from soundpost.exit_status import STATUS_DEFECT, STATUS_DEVICE, STATUS_NOTHING, STATUS_OK, STATUS_REFUSED
from soundpost.launch.run_record import RunRecord
from soundpost.launch.scratch import private_folder, remove_dead
from soundpost.resources.deadline import kill_seconds
from soundpost.resources.engine_environment import ENGINE_ENVIRONMENT
from soundpost.resources.memory import memory_allowed
from soundpost.resources.memory_budget import SHRINK_SHARE
from soundpost.settings import RunSettings

GRACE_SECONDS = 4.0  # after a signal, for the engine's last write
WAIT_SECONDS = 0.15  # for a killed engine to be gone, and for its scratch folder to be removed
ATTEMPTS = 3  # engines in one run; the last one works without a GPU
CRASHES = (-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS)  # how a process ends that a driver or a library broke
SHOWN_BYTES = 200  # so much of a line that is no event is said
LEAST_SECONDS = 6.0  # the time that must be left for another engine to be worth its start


class Supervisor:
    """Starts engines until one ends well, time is up, or a signal comes.

    Args:
        settings: those of the run; scratch is set here.
        scratch_root: where the run's private folder is made.
        say: prints one line of the log.
        relay: takes the engine's output, where that must be read here: because there is a copy of it, or because this
            process's own output is no file that a child could write to (a notebook); None: the engine prints itself.
        signals: numbers of those that have come, and of any that comes while this works; the first one counts.
        provide: makes a folder of packages for the engine before its first start, within the private folder; is told
            that folder and whom to ask whether a signal has come.
    """

    def __init__(
        self,
        settings: RunSettings,
        scratch_root: Path,
        say: Callable[[str], None],
        relay: Callable[[str], None] | None,
        signals: Sequence[int] = (),
        provide: Callable[[Path, Callable[[], bool]], str] = lambda *_: "",
    ) -> None:
        self.settings = settings
        self.scratch_root = scratch_root
        self.say = say
        self.relay = relay
        self.signals = signals
        self.provide = provide
        self.record = None if settings.dry_run else RunRecord(settings)
        self.answered = 0  # what the submission that lies on disk holds
        self.unit = "clips"  # what that is, in words; rows, where they are windows of recordings
        self.errors: list[str] = []
        self._failures = 0  # engines that did not end well
        self._devices: list[str] = []  # GPUs with which the latest engine works
        self._lost_devices: list[str] = []  # GPUs that an engine had to do without
        self._sign_due = math.inf  # when the engine gives its next sign of life, or is taken to hang
        self._engine: subprocess.Popen[bytes] | None = None

    def run(self) -> int:
        """The exit status of the run: 0, 1 (defect), 2 (refused), 3 (nothing answered), 128 + signal."""
        self._keep_record(None)
        status = self._run()
        self._keep_record(status)
        return status

    def _run(self) -> int:
        remove_dead(self.scratch_root)
        with private_folder(self.scratch_root, self._patience) as scratch:
            settings = replace(self.settings, scratch=str(scratch), supervisor_pid=os.getpid())
            settings = replace(settings, packages=self.provide(scratch, lambda: bool(self.signals)))
            status = STATUS_DEFECT
            for attempt in range(ATTEMPTS):
                if not self.signals:
                    status = self._attempt(replace(settings, attempt=attempt, engine_started=time.monotonic()), scratch)
                if self.signals:
                    name = signal.Signals(self.signals[0]).name
                    self.say(f"{name}: ended early; the submission holds {self.answered:,} predicted {self.unit}")
                    return 128 + self.signals[0]
                if status in (STATUS_OK, STATUS_REFUSED, STATUS_NOTHING):
                    break
                if self._left() < LEAST_SECONDS:
                    self.say(f"the time is up; the submission holds {self.answered:,} predicted {self.unit}")
                    return STATUS_OK if self.answered else STATUS_NOTHING
                settings = self._after_failure(settings, status)
                if attempt + 1 < ATTEMPTS:
                    without = ", without a GPU" if self._devices and settings.device == "cpu" else ""
                    self.say(f"engine ended with status {status}; another one goes on where it stood{without}")
            for text in self.errors:
                self.say(f"error: {text}")
            if status not in (STATUS_OK, STATUS_REFUSED):
                self.say(
                    f"ended with status {max(1, status)}; the submission holds {self.answered:,} predicted {self.unit}"
                )
            return status if status >= 0 else STATUS_DEFECT

    def _after_failure(self, settings: RunSettings, status: int) -> RunSettings:
        """What the next engine does without: memory, a GPU, or all of them.

        An engine goes on by itself while one of its GPUs works, so a device error means that none does. A crash and
        a second failure of any kind cost all GPUs, too, as the cores may do what these cannot.
        """
        self._failures += 1
        if status == -signal.SIGKILL:  # most likely for memory
            limit = settings.memory_limit_bytes or memory_allowed()
            settings = replace(settings, memory_limit_bytes=int(SHRINK_SHARE * limit))
        if status in (STATUS_DEVICE, *CRASHES) or self._failures > 1:
            return replace(settings, device="cpu")
        if self._lost_devices:
            return replace(settings, device=",".join(self._devices))
        return settings

    def _left(self) -> float:
        return self.settings.started + self.settings.time_limit_seconds - time.monotonic()

    def _patience(self) -> float:
        return max(WAIT_SECONDS, self._left() - 2 * WAIT_SECONDS)

    # ------------------------------------------------------------ one engine

    def _attempt(self, settings: RunSettings, scratch: Path) -> int:
        """Start an engine and stay with it to its end; its exit status, negative for a signal."""
        if self.record:
            self.record.engine_started()
        file = scratch / "settings.json"
        file.write_text(json.dumps(settings.to_json()))
        reading, writing = os.pipe()
        package = str(Path(__file__).resolve().parents[2])
        output = subprocess.PIPE if self.relay else None
        try:
            self._engine = subprocess.Popen(
                [sys.executable, "-u", "-m", "soundpost.launch.engine_process", str(file)],
                env=_environment(package, writing),
                cwd=scratch,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT if output else None,
                pass_fds=(writing,),
                start_new_session=True,
            )
        finally:
            os.close(writing)
        printer = None
        if self._engine.stdout:
            printer = threading.Thread(target=self._print, args=(self._engine.stdout,), daemon=True)
            printer.start()
        status = self._watch(reading)
        os.close(reading)
        with suppress(ProcessLookupError):
            os.killpg(self._engine.pid, signal.SIGKILL)  # its workers, if any is left
        with suppress(OSError):
            submission.aside(Path(settings.out)).unlink(missing_ok=True)  # what it was writing when it ended
        if printer:
            printer.join(0.2)
        return status

    def _watch(self, events: int) -> int:
        """Take events in until the engine ends; at a signal ask it to, at the limit or when it does not, kill it."""
        assert self._engine is not None
        ends = self._left() + time.monotonic() - kill_seconds(self.settings.time_limit_seconds)
        asked = False
        buffered = b""
        self._sign_due = math.inf
        with selectors.DefaultSelector() as selector:
            selector.register(events, selectors.EVENT_READ)
            while True:
                if selector.select(max(0.0, min(0.1, ends - time.monotonic()))):
                    chunk = os.read(events, 65536)
                    if not chunk:
                        selector.unregister(events)
                    *lines, buffered = (buffered + chunk).split(b"\n")
                    for line in lines:
                        self._heard(line)
                status = self._engine.poll()
                if status is not None:
                    return status
                if not selector.get_map():
                    with suppress(subprocess.TimeoutExpired):
                        return self._engine.wait(max(0.01, min(0.1, ends - time.monotonic())))
                if self.signals and not asked:
                    asked = True
                    ends = min(ends, time.monotonic() + GRACE_SECONDS)
                    with suppress(ProcessLookupError):
                        self._engine.terminate()
                if time.monotonic() >= ends:
                    self._kill()
                    return -signal.SIGKILL
                if time.monotonic() >= self._sign_due:
                    self.say("the engine gives no sign of life: a GPU hangs, or its driver does")
                    self._kill()
                    return STATUS_DEVICE

    def _kill(self) -> None:
        assert self._engine is not None
        with suppress(ProcessLookupError):
            os.killpg(self._engine.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):  # in a read or write of a dead disk, even SIGKILL waits
            self._engine.wait(WAIT_SECONDS)

    def _heard(self, line: bytes) -> None:
        """Take one event in; a line that is none is said and left out."""
        try:
            event = json.loads(line)
            match event["event"]:
                case "error":
                    self.errors.append(str(event["text"]))
                case "devices":
                    self._devices = [str(name) for name in event["names"]]
                case "device lost":
                    self._lost_devices.append(str(event["name"]))
                    self._devices = [name for name in self._devices if name not in self._lost_devices]
                case "alive":
                    self._sign_due = time.monotonic() + event["within"] if event["within"] else math.inf
                case "wrote" | "finished":
                    self.answered = int(event["answered"])
                    self.unit = str(event.get("of", self.unit))
            if self.record:
                self.record.heard(event)
        except (ValueError, KeyError, TypeError):
            self.say(f"a line of the engine is no event and left out: {line[:SHOWN_BYTES].decode('utf-8', 'replace')}")

    def _print(self, stream: IO[bytes]) -> None:
        """The engine's output, handed on as it comes; carriage returns of a bar included."""
        assert self.relay is not None
        text = codecs.getincrementaldecoder("utf-8")("replace")  # a letter may lie across two chunks
        with stream:
            while chunk := os.read(stream.fileno(), 65536):
                self.relay(text.decode(chunk))

    # ------------------------------------------------------------ around it

    def _keep_record(self, status: int | None) -> None:
        """Write run.json; on a disk that has stalled this would outlast the limit, so it is not waited for longer."""
        if self.record is None:
            return
        seconds = self.settings.time_limit_seconds - self._left()
        writing = threading.Thread(target=self.record.write, args=(status, seconds), daemon=True)
        writing.start()
        writing.join(self._patience())
        if trouble := "takes too long" if writing.is_alive() else self.record.trouble:
            self.say(f"warning: {self.record.path}: {trouble}; the submission does not need it")


def _environment(package: str, events: int) -> dict[str, str]:
    """The engine's environment: this one, with the source first, and ENGINE_ENVIRONMENT where it says nothing else."""
    environment = {**ENGINE_ENVIRONMENT, **os.environ, "SOUNDPOST_EVENTS": str(events)}
    paths = [package, *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    environment["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    return environment
