"""Several members at once, each in a process of its own on one of the devices; a member never spans two."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from soundpost.ensemble.recipe_folder import fold_file
from soundpost.errors import SettingsError

PAUSE = 0.1  # s between two looks at the processes
MEMBERS_ONLY = "--members-only"  # what tells a process that another one writes the recipe


@dataclass(frozen=True)
class Job:
    """A process that trains one member."""

    fold: str
    process: subprocess.Popen[bytes]
    log: Path  # what it says


def devices_of(text: str) -> list[str]:
    """Devices as --device names them: cuda:0,cuda:1 are two, and so is cpu:2.

    Raises:
        SettingsError: no device, or no number of jobs.
    """
    found: list[str] = []
    for part in text.split(","):
        name, colon, count = part.strip().partition(":")
        if not name or (colon and not count.isdigit()) or (name == "cpu" and count == "0"):
            raise SettingsError(f"--device {text}: '{part}' is none. Write cpu, cpu:2, cuda:0, or cuda:0,cuda:1.")
        found += ["cpu"] * int(count or 1) if name == "cpu" else [part.strip()]
    return found


def run_jobs(
    words: Mapping[str, str],
    plan: str,
    out: Path,
    folds: Sequence[str],
    devices: Sequence[str],
    was_interrupted: Callable[[], bool],
    left: Callable[[], float | None],
) -> list[str]:
    """Train members, one process for each device at a time; the folds whose member is there at the end.

    Args:
        words: options of `soundpost train` that all have in common.
        plan: as the command line named it.
        out: folder of the recipe.
        folds: members to train, in this order.
        devices: one for each process that may run at once.
        was_interrupted: whether to stop in good order at once.
        left: seconds until --limit, which processes keep by themselves; None: there is none.

    Raises:
        SettingsError: a process failed; the others were stopped in good order, and its last line is named.
    """
    waiting = [fold for fold in folds if not fold_file(out, fold).is_file()]
    running: dict[int, Job] = {}
    failed: Job | None = None
    asked = False
    begun = 0
    try:
        while running or (waiting and not asked):
            for place, device in enumerate(devices):
                seconds = left()
                is_over = seconds is not None and seconds <= 0 and begun >= len(devices)
                if is_over or asked:
                    waiting.clear()
                if place not in running and waiting:
                    begun += 1
                    running[place] = _started(words, plan, out, waiting.pop(0), device, devices, seconds)
            for place, job in list(running.items()):
                status = job.process.poll()
                if status is None:
                    continue
                del running[place]
                _say(job, out, devices[place])
                if status and not asked:
                    failed = job
            if not asked and (failed or was_interrupted()):
                asked = True
                for job in running.values():
                    job.process.send_signal(signal.SIGINT)
            time.sleep(PAUSE)
    finally:
        for job in running.values():
            with contextlib.suppress(ProcessLookupError):
                job.process.kill()
            job.process.wait()
    if failed:
        raise SettingsError(f"member {failed.fold}: {_last_line(failed)} All it said is in {failed.log}.")
    return [fold for fold in folds if fold_file(out, fold).is_file()]


def _started(
    words: Mapping[str, str],
    plan: str,
    out: Path,
    fold: str,
    device: str,
    devices: Sequence[str],
    left: float | None,
) -> Job:
    own = {**words, "--out": str(out), "--folds": fold, "--device": device}
    if left is not None:
        own["--limit"] = f"{max(0, round(left))}s"
    command = [sys.executable, "-m", "soundpost.training", plan, MEMBERS_ONLY]
    command += [text for pair in own.items() for text in pair]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    if device == "cpu":  # jobs share the cores
        environment["OMP_NUM_THREADS"] = str(max(1, torch.get_num_threads() // list(devices).count("cpu")))
    log = out / f"job_{fold}.log"
    print(f"member {fold} begins on {device}; {log} has its progress", flush=True)
    with log.open("wb") as file:
        # A session of its own: Ctrl-C reaches it once, by way of this process.
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
    return Job(fold, process, log)


def _say(job: Job, out: Path, device: str) -> None:
    is_there = fold_file(out, job.fold).is_file()
    print(f"member {job.fold} {'done' if is_there else 'stopped'} on {device}: {_last_line(job)}", flush=True)


def _last_line(job: Job) -> str:
    lines = job.log.read_text("utf-8", "replace").replace("\r", "\n").strip().splitlines()
    return lines[-1] if lines else "it said nothing."
