"""The page of pictures of a run that is over, where one was asked for: by a process that may fail.

The submission is final by then, and nothing here touches it or the status of the run. The page may take the time that
is left before the limit and the memory that the run had; whatever is lacking is said in one line.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from soundpost.resources.deadline import EXIT_SECONDS, kill_seconds
from soundpost.resources.memory import memory_allowed, process_memory
from soundpost.resources.memory_budget import LIMIT_SHARE
from soundpost.settings import RunSettings

MODULE = "soundpost.report_page.of_run"
NEEDED = ("jinja2", "matplotlib")  # both are in Kaggle's image
LEAST_SECONDS = 5.0  # less time is not worth a start
MOST_SECONDS = 300.0
MOST_BYTES = 2 * 10**9
LOOK_SECONDS = 0.05
GONE_SECONDS = 0.2  # for a killed process to be gone
SHOWN = 300  # characters of what the process said


@dataclass(frozen=True)
class Allowed:
    """What the page may take."""

    seconds: float
    n_bytes: int


def write_page(
    page: Path, record: Path, run: RunSettings, say: Callable[[str], None], signals: Sequence[int] = ()
) -> None:
    """Write the page, or say in one line why there is none; nothing is raised.

    Args:
        page: the html file; an older one is removed before this one is made.
        record: run.json.
        run: whose limits hold.
        say: takes a line of the log.
        signals: numbers of those that have come, and of any that comes meanwhile, which ends the page.
    """
    try:
        trouble = _trouble(page, record, _allowed(run), signals)
    except Exception as error:  # whatever it is, the run is over and has its status
        trouble = f"{type(error).__name__}: {error}"
    say(f"warning: --report {page}: no page, {trouble}; the run does not need it" if trouble else f"report: {page}")


def _allowed(run: RunSettings) -> Allowed:
    ends = run.started + run.time_limit_seconds - kill_seconds(run.time_limit_seconds) - EXIT_SECONDS
    limit = run.memory_limit_bytes or int(LIMIT_SHARE * memory_allowed())
    return Allowed(min(MOST_SECONDS, ends - time.monotonic()), min(MOST_BYTES, limit))


def _trouble(page: Path, record: Path, allowed: Allowed, signals: Sequence[int]) -> str:
    """Why there is no page; empty where there is one."""
    if allowed.seconds > 0:  # else the disk may have stalled, and nothing is asked of it any more
        page.unlink(missing_ok=True)
    if absent := [name for name in NEEDED if find_spec(name) is None]:
        return f"not installed: {', '.join(absent)}"
    if allowed.seconds < LEAST_SECONDS:
        return f"{max(0.0, allowed.seconds):.1f} s are left and {LEAST_SECONDS:g} s are needed"
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [sys.executable, "-m", MODULE, str(record), str(page)],
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        trouble = _watched(process, allowed, signals)
        if not trouble and process.returncode:
            said.seek(0)
            lines = said.read().decode("utf-8", "replace").strip().splitlines() or ["it said nothing"]
            trouble = f"its process ended with status {process.returncode}: {lines[-1][:SHOWN]}"
    if trouble:
        with suppress(OSError):
            page.with_name(f"{page.name}.part").unlink(missing_ok=True)
    return trouble


def _watched(process: "subprocess.Popen[bytes]", allowed: Allowed, signals: Sequence[int]) -> str:
    """Why the process had to be killed; empty when it ended by itself."""
    ends = time.monotonic() + allowed.seconds
    trouble = ""
    while process.poll() is None and not trouble:
        if signals:
            trouble = "interrupted"
        elif time.monotonic() >= ends:
            trouble = f"not ready within {allowed.seconds:.0f} s"
        elif (used := process_memory(process.pid)) > allowed.n_bytes:
            trouble = f"it took {used / 1e6:,.0f} MB of {allowed.n_bytes / 1e6:,.0f} MB"
        else:
            time.sleep(LOOK_SECONDS)
    if trouble:
        process.kill()
        with suppress(subprocess.TimeoutExpired):
            process.wait(GONE_SECONDS)
    return trouble


def _environment() -> dict[str, str]:
    """This one, with the source first, without a GPU and without a notebook's way to draw."""
    paths: Sequence[str] = [
        str(Path(__file__).resolve().parents[2]),
        *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)),
    ]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths), "CUDA_VISIBLE_DEVICES": "", "MPLBACKEND": "Agg"}
