"""Runs in processes of their own, watched from outside, and signals that they get at some moment."""

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from conftest import LABELS, RATE

from soundpost.contest.submission import Sample, check, read_sample

TESTS = Path(__file__).resolve().parents[1]
PYTHONPATH = os.pathsep.join(map(str, (TESTS / "injuries", TESTS.parent / "src", TESTS)))
PATIENCE_SECONDS = 120.0  # what a slow machine is given until something must have happened
SMALL = {"bins": 16, "widths": [4, 6], "strides": [2, 2]}
LOG_MEL = {"sample_rate": RATE, "n_fft": 512, "hop_length": 256, "n_mels": 16}
When = tuple[signal.Signals, float]  # what a run is sent, so many s after its first file; inf: once there are answers


@dataclass
class Started:
    """A run in processes of its own, watched from outside."""

    process: subprocess.Popen[str]
    began: float
    folder: Path
    out: Path
    sample: Sample
    faults: list[str] = field(default_factory=list)  # what check() found in any version of the file
    versions: set[bytes] = field(default_factory=set)  # every content that the file had
    children: dict[int, psutil.Process] = field(default_factory=dict)
    ended: float = 0.0

    def look(self) -> bool:
        """Check the file as it is now and note processes; whether the run still goes on."""
        if self.out.exists():
            self.faults += check(self.out, self.sample)
            self.versions.add(self.out.read_bytes())
        with suppress(psutil.Error):
            for child in psutil.Process(self.process.pid).children(recursive=True):
                self.children[child.pid] = child
        if self.process.poll() is None:
            return True
        self.ended = self.ended or time.monotonic()
        return False

    def until(self, condition: Callable[[], bool]) -> None:
        """Look until something holds."""
        limit = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert self.look(), f"ended too early: {self.said()}"
            assert time.monotonic() < limit, f"this never came: {self.said()}"
            time.sleep(0.02)

    def finish(self) -> int:
        """Look until the end; the exit status as a shell has it."""
        limit = time.monotonic() + PATIENCE_SECONDS
        while self.look() and time.monotonic() < limit:
            time.sleep(0.02)
        assert self.process.returncode is not None, f"does not end: {self.said()}"
        status = self.process.returncode
        return status if status >= 0 else 128 - status

    def said(self) -> str:
        """The log so far."""
        return (self.folder / "log.txt").read_text()

    def left_behind(self) -> list[str]:
        """Processes, scratch files and half-written files that are still there a moment after the end."""
        limit = time.monotonic() + PATIENCE_SECONDS
        while any(map(_is_running, self.children.values())) and time.monotonic() < limit:
            time.sleep(0.02)
        found = [f"process {child.pid}" for child in self.children.values() if _is_running(child)]
        known = {"log.txt", "run.json", "scratch", "submission.csv"}
        found += [path.name for path in self.folder.iterdir() if path.name not in known]
        return found + [path.name for path in (self.folder / "scratch").iterdir()]


def _is_running(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def start(folder: Path, assets: Path, contest: Path, *options: str, **environment: str) -> Started:
    """python -m soundpost.launch.main in a new folder, with the fakes at hand."""
    (folder / "scratch").mkdir(parents=True)
    out = folder / "submission.csv"
    command = [
        sys.executable,
        "-m",
        "soundpost.launch.main",
        "--assets",
        str(assets),
        "--test-dir",
        str(contest / "test"),
    ]
    command += ["--sample-submission", str(contest / "sample_submission.csv"), "--out", str(out), "--device", "cpu"]
    command += ["--scratch", str(folder / "scratch"), "--progress", "lines", *options]
    with (folder / "log.txt").open("w") as log:
        began = time.monotonic()
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": PYTHONPATH, **environment},
            start_new_session=True,
        )
    return Started(process, began, folder, out, read_sample(contest / "sample_submission.csv", LABELS))


def stop(runs: Mapping[object, Started]) -> None:
    """Kill what a failed test has left."""
    for run in runs.values():
        for process in (run.process, *run.children.values()):
            with suppress(psutil.Error):
                process.kill()
        run.process.wait()


def slow(seconds: float) -> dict[str, object]:
    """A recipe whose every batch takes so long."""
    return {"model": {"name": "slow", "seconds": seconds, **SMALL}}


def send_signals(runs: Mapping[When, Started]) -> None:
    """Look at the runs until all have ended, and send each its signal when its moment has come."""
    written: dict[When, float] = {}
    sent: set[When] = set()
    limit = time.monotonic() + PATIENCE_SECONDS
    while [run for run in runs.values() if run.look()] and time.monotonic() < limit:
        for when, run in runs.items():
            number, moment = when
            if run.out.exists():
                written.setdefault(when, time.monotonic())
            due = len(run.versions) > 1 if moment == np.inf else time.monotonic() > written.get(when, np.inf) + moment
            if due and when not in sent:
                sent.add(when)
                os.kill(run.process.pid, number)
        time.sleep(0.02)


def table(path: Path) -> np.ndarray:
    """(clips, columns) of a submission."""
    header, *rows = csv.reader(path.read_text().splitlines())
    return np.array([row[1:] for row in rows], float).reshape(len(rows), len(header) - 1)
