"""The process that the kernel starts as: it hands out jobs, one a device, and outlives whatever becomes of them.

It imports no torch and computes nothing. A worker that crashes, is killed or hangs costs what was trained since its
last checkpoint; the job is tried again, and a device on which two jobs in a row failed so is left alone.
"""

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from soundpost.errors import SettingsError
from soundpost.exit_status import STATUS_OK, STATUS_REFUSED
from soundpost.resources.signals import signals_noted
from soundpost.training.session.session import STATUS_PAUSED, Found, Job, Session
from soundpost.training.session.task import Say, Task, Worker

ATTEMPTS = 3  # at one job
IN_A_ROW = 2  # failures after which a device is left alone
GRACE_SECONDS = 20.0  # after a signal, for the last checkpoints
PATIENCE_SECONDS = 1800.0  # without a sign of life
KILL_SHARE, KILL_SECONDS = (
    0.02,
    60.0,
)  # share of the limit, and most seconds: what is kept for the end of the guard itself
WAIT_SECONDS = 0.1
LOOK_SECONDS = 600.0  # a first look reads tables and tries devices


@dataclass
class Lane:
    """A device and what is at work on it."""

    device: str
    worker: Worker | None = None
    job: Job | None = None
    failures: int = 0  # in a row


@dataclass
class Outcome:
    """How the jobs of a session stand."""

    reasons: dict[Job, str] = field(default_factory=dict)  # why a job is not done
    signal: int = 0


class Guard:
    """Starts workers until all jobs are done, time is up, or a signal comes.

    Args:
        session: what is shared.
        say: prints one line of the log.
        module: what a worker runs.
        patience: seconds without a sign of life after which a worker is taken to hang.
    """

    def __init__(
        self,
        session: Session,
        say: Say,
        module: str = "soundpost.training.session.worker",
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self.session, self.say, self.module, self.patience = session, say, module, patience
        self.outcome = Outcome()
        self._tries: dict[Job, int] = {}
        self._numbers = count()
        self._lanes: list[Lane] = []
        limit = session.ends - time.monotonic()
        self._kill_at = session.ends - min(KILL_SECONDS, KILL_SHARE * max(limit, 0.0))

    def look(self) -> Found:
        """What there is to do.

        Raises:
            SettingsError: it could not be found out; the log says why.
        """
        task = self._task()
        worker = Worker(task, "first look", self.module, 1, self.say)
        ends = min(self._kill_at, time.monotonic() + LOOK_SECONDS)
        while worker.is_at_work and time.monotonic() < ends and not self.outcome.signal:
            time.sleep(WAIT_SECONDS)
        worker.kill()
        status = worker.status()
        answer = Path(task.sign)
        if status != STATUS_OK or not answer.is_file():
            told = worker.line.removeprefix("error: ")
            raise SettingsError(told or f"the first look at plans and clips ended with status {status}")
        return Found.from_json(json.loads(answer.read_text("utf-8")))

    def run(self, jobs: Sequence[Job], devices: Sequence[str]) -> Outcome:
        """Do the jobs, one at a time on each device."""
        waiting = list(jobs)
        self._lanes = [Lane(device) for device in devices]
        try:
            while self._turn(waiting):
                time.sleep(WAIT_SECONDS)
        finally:
            for lane in self._lanes:
                if lane.worker:
                    lane.worker.kill()
        for job in waiting:
            self.outcome.reasons.setdefault(job, "not begun")
        return self.outcome

    def _turn(self, waiting: list[Job]) -> bool:
        """See to each device once; whether any is at work."""
        for lane in self._lanes:
            if lane.worker and lane.job and self._has_ended(lane.worker, lane.job.name, lane.device):
                self._take_in(lane, lane.worker, lane.job, waiting)
            if not lane.worker and (job := self._next(waiting, lane)):
                waiting.remove(job)
                self._begin(lane, job)
        return any(lane.worker for lane in self._lanes)

    @contextmanager
    def signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT end the session in good order; elsewhere than in the main thread they are left alone."""

        def note(number: int) -> None:
            self.outcome.signal = self.outcome.signal or number
            self._kill_at = min(self._kill_at, time.monotonic() + GRACE_SECONDS)
            for lane in self._lanes:
                if lane.worker:
                    lane.worker.ask_to_stop()

        with signals_noted(note):
            yield

    # ------------------------------------------------------------ one job

    def _next(self, waiting: Sequence[Job], lane: Lane) -> Job | None:
        """The job to begin now; scores wait for the members of their plan, and are not told where one is missing."""
        if self.outcome.signal or time.monotonic() > self.session.pause_at or lane.failures >= IN_A_ROW:
            return None
        open_plans = {job.plan for job in waiting if job.fold}
        open_plans |= {other.job.plan for other in self._lanes if other.job}
        open_plans |= {job.plan for job in self.outcome.reasons if job.fold}
        return next((job for job in waiting if job.fold or job.plan not in open_plans), None)

    def _begin(self, lane: Lane, job: Job) -> None:
        self._tries[job] = self._tries.get(job, 0) + 1
        self.outcome.reasons.pop(job, None)
        task = self._task(job, lane.device)
        lane.job = job
        lane.worker = Worker(task, f"{job.name} on {lane.device}", self.module, len(self._lanes), self.say)
        if self.outcome.signal:  # it came while the worker was made
            lane.worker.ask_to_stop()

    def _task(self, job: Job | None = None, device: str = "cpu") -> Task:
        scratch, number = Path(self.session.scratch), next(self._numbers)
        file, sign = str(scratch / f"task-{number}.json"), str(scratch / f"sign-{number}")
        plan, fold = (job.plan, job.fold) if job else ("", "")
        return Task(self.session, file, sign, plan, fold, device, os.getpid())

    def _has_ended(self, worker: Worker, name: str, device: str) -> bool:
        """Whether a worker is gone; at the end of the time, and when it hangs, it is made to go."""
        if not worker.is_at_work:
            return True
        if time.monotonic() >= self._kill_at:
            self.say(f"{name} on {device}: killed, as the time is up; its last checkpoint stays")
            worker.kill()
            return True
        if worker.silence() > self.patience:
            self.say(f"{name} on {device}: no sign of life for {self.patience:.0f} s, killed")
            worker.kill()
            return True
        return False

    def _take_in(self, lane: Lane, worker: Worker, job: Job, waiting: list[Job]) -> None:
        """What becomes of a job and its device after its worker has ended."""
        status = worker.status()
        lane.worker = lane.job = None
        if status == STATUS_OK:
            lane.failures = 0
        elif status in (STATUS_PAUSED, STATUS_REFUSED):
            self.outcome.reasons[job] = worker.line.removeprefix("error: ") or f"ended with status {status}"
        else:
            self._failed(lane, job, status, waiting)

    def _failed(self, lane: Lane, job: Job, status: int, waiting: list[Job]) -> None:
        how = f"signal {-status}" if status < 0 else f"status {status}"
        self.outcome.reasons[job] = f"ended with {how} on {lane.device}"
        is_open = time.monotonic() < self.session.pause_at and not self.outcome.signal
        goes_on = is_open and self._tries[job] < ATTEMPTS
        then = "tried again from its last checkpoint" if goes_on else "left for the next session"
        self.say(f"{job.name}: {self.outcome.reasons[job]}; {then}")
        if goes_on:
            waiting.insert(0, job)
        if len(self._lanes) > 1:  # where there is no other device, the tries of each job are counted alone
            lane.failures += 1
        if lane.failures == IN_A_ROW:
            self.say(f"{lane.device}: {lane.failures} failures in a row, left alone from here on")
