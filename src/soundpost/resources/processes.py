"""What one process may ask of another, to die with its parent, and of itself: how old it is."""

import ctypes
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent dies, so that no orphan works on; Linux only."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def age_seconds(process: Path = Path("/proc/self")) -> float | None:
    """How long ago a process was started; None where the kernel does not tell.

    Both readings are of one clock, which counts from the boot and which nobody sets. The time of the boot itself, which
    psutil goes by, is known to a second alone.

    Args:
        process: its folder in /proc.
    """
    try:
        ticks = int((process / "stat").read_text().rpartition(")")[2].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return None
