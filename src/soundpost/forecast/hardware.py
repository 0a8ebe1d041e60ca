"""Machines by name, for a dry run that foretells another machine than the one it runs on: always an estimate.

Peaks are the makers' published ones: NVIDIA's data sheets for float32 arithmetic and memory bandwidth. Small
convolutional networks are bound by one or the other, so the ratio of two devices is taken to be the worse of the two.
Of a core of a server's processor: 32 operations a cycle (two 256-bit multiply-adds) at 3 GHz, and a core's share of
the memory bandwidth. Sizes of Kaggle's sessions are those of its documentation.
"""

from dataclasses import dataclass

from soundpost.errors import SettingsError

GB = 10**9


@dataclass(frozen=True)
class Peak:
    """What one device can do at most."""

    tera_operations: float  # float32, 10^12 a second
    gigabytes: float  # 10^9 bytes of its memory a second


@dataclass(frozen=True)
class NamedMachine:
    """A session as Kaggle lends it."""

    device: str  # name in PEAKS
    lanes: int
    cores: int
    memory_bytes: int
    disk_bytes: int


CORE = "cpu"
PEAKS: dict[str, Peak] = {
    CORE: Peak(0.1, 10.0),
    "t4": Peak(8.1, 320.0),
    "p100": Peak(9.3, 732.0),
    "v100": Peak(14.0, 900.0),
    "l4": Peak(30.3, 300.0),
    "a100": Peak(19.5, 1555.0),
    "h100": Peak(67.0, 3350.0),
    "h200": Peak(67.0, 4800.0),
}
MACHINES: dict[str, NamedMachine] = {
    "cpu": NamedMachine(CORE, lanes=4, cores=4, memory_bytes=30 * GB, disk_bytes=20 * GB),
    "t4": NamedMachine("t4", lanes=2, cores=4, memory_bytes=29 * GB, disk_bytes=20 * GB),
    "t4x1": NamedMachine("t4", lanes=1, cores=4, memory_bytes=29 * GB, disk_bytes=20 * GB),
    "p100": NamedMachine("p100", lanes=1, cores=4, memory_bytes=29 * GB, disk_bytes=20 * GB),
    "l4": NamedMachine("l4", lanes=1, cores=4, memory_bytes=29 * GB, disk_bytes=20 * GB),
}


def named(name: str) -> NamedMachine:
    """The machine of that name.

    Raises:
        SettingsError: no such machine; the message lists the known ones.
    """
    if name not in MACHINES:
        raise SettingsError(f"--as {name}: not known; known: {', '.join(sorted(MACHINES))}. Name one of these.")
    return MACHINES[name]


def known_device(description: str) -> str:
    """The name in PEAKS of a device that calls itself so ("Tesla T4", "NVIDIA H200"); empty when none is meant."""
    words = description.lower().replace("-", " ").split()
    return next((name for name in PEAKS if name in words), "")


def slowdown(measured: str, target: str) -> float:
    """How many times longer the target takes for what the measured device did; both names in PEAKS."""
    here, there = PEAKS[measured], PEAKS[target]
    return max(here.tera_operations / there.tera_operations, here.gigabytes / there.gigabytes)
