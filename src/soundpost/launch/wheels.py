"""Runtimes that Kaggle's image lacks, installed from an attached dataset into the run's private folder, offline.

It takes a bounded time and cannot hurt: whatever goes wrong is said in one line, and networks are computed by torch.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from soundpost.ensemble.attached import Attached
from soundpost.ensemble.recipes import Wheel
from soundpost.errors import WeightsError

MOST_SECONDS = 120.0  # for all wheels together
SHARE = 0.1  # at most so much of the run's time
FOLDER = "packages"
POLL_SECONDS = 0.05
SHOWN = 200  # characters of what pip says


def install(
    wheels: Sequence[Wheel],
    attached: Attached,
    scratch: Path,
    limit_seconds: float,
    should_stop: Callable[[], bool],
    say: Callable[[str], None],
) -> str:
    """Install the wheels for this Python, each after its sha256 was found to be the kernel's.

    Args:
        wheels: those that the kernel was built with, for several Pythons.
        attached: where they may lie.
        scratch: the run's private folder, which goes at its end.
        limit_seconds: what the whole run has.
        should_stop: whether a signal has come.
        say: takes one sentence for the log.

    Returns:
        The folder that the engine puts on its path; empty where nothing was installed.
    """
    if not wheels:
        return ""
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    fitting = [wheel for wheel in wheels if wheel.python == here]
    if not fitting:
        known = ", ".join(sorted({wheel.python for wheel in wheels}))
        say(f"runtimes are attached for Python {known}, and this is {here}; networks are computed by torch")
        return ""
    names = ", ".join(wheel.package for wheel in fitting)
    began = time.monotonic()
    try:
        paths = [attached.path(wheel) for wheel in fitting]
        _pip(paths, scratch / FOLDER, min(MOST_SECONDS, SHARE * limit_seconds), should_stop, scratch / "pip.txt")
    except (WeightsError, OSError, RuntimeError) as error:
        say(f"{names} not installed: {error} Networks are computed by torch.")
        return ""
    say(f"{names} installed from the attached dataset in {time.monotonic() - began:.1f} s")
    return str(scratch / FOLDER)


def _pip(wheels: Sequence[Path], folder: Path, seconds: float, should_stop: Callable[[], bool], log: Path) -> None:
    """pip, watched.

    Raises:
        RuntimeError: it fails, or takes longer, or a signal comes.
    """
    command = [sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", "--no-compile", "--quiet"]
    command += ["--disable-pip-version-check", "--no-input", "--target", str(folder), *map(str, wheels)]
    ends = time.monotonic() + seconds
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        try:
            while process.poll() is None:
                if should_stop() or time.monotonic() > ends:
                    raise RuntimeError(f"pip was ended after {seconds:.0f} s, or by a signal.")
                time.sleep(POLL_SECONDS)
        finally:
            process.kill()
            process.wait()
    if process.returncode:
        said = " ".join(log.read_text("utf-8", "replace").split())[-SHOWN:]
        raise RuntimeError(f"pip ended with status {process.returncode} ({said}).")
