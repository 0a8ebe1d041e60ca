"""How the benchmarks start a program and what they read off it: wall and CPU seconds, peak memory of the whole tree."""

import os
import resource
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import soundfile

ROOT = Path(__file__).resolve().parent.parent
SAMPLE_SECONDS = 0.1  # between two looks at the tree's memory


@dataclass(frozen=True)
class Usage:
    """What one program took."""

    wall_seconds: float
    cpu_seconds: float  # user and system, of all its processes
    peak_bytes: int  # most that all its processes used, shared pages once
    peak_shared_bytes: int  # what of them was shared memory, which is where spectrograms lie
    peak_rest_bytes: int  # what of them was anything else
    status: int
    output: str


def run(
    command: Sequence[str],
    timeout_seconds: float = 1800,
    one_core: bool = False,
    environment: Mapping[str, str] | None = None,
    memory: bool = True,
) -> Usage:
    """Run a program to its end and measure its whole process tree; on one core, where that makes seconds comparable.

    Looking at memory disturbs caches and the program's own calls for memory: memory=False leaves it at 0.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), **(environment or {})},
        cwd=ROOT,
        preexec_fn=(lambda: os.sched_setaffinity(0, {0})) if one_core else None,
    )
    peak = [0, 0, 0]
    if memory:
        threading.Thread(target=_watch, args=(process.pid, peak), daemon=True).start()
    output, _ = process.communicate(timeout=timeout_seconds)
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Usage(wall, cpu, *peak, process.returncode, output)


def _watch(pid: int, peak: list[int]) -> None:
    try:
        root = psutil.Process(pid)
        while root.is_running() and root.status() != psutil.STATUS_ZOMBIE:
            pids = [pid, *(child.pid for child in root.children(recursive=True))]
            whole, shared = _memory(pids)
            peak[:] = map(max, peak, (whole, shared, whole - shared))
            time.sleep(SAMPLE_SECONDS)
    except psutil.Error:
        return


def _memory(pids: Sequence[int]) -> tuple[int, int]:
    """Bytes of these processes with shared pages counted once (PSS), and what of them is shared memory."""
    found = {"Pss:": 0, "Pss_Shmem:": 0}
    for pid in pids:
        with suppress(OSError):  # it has ended
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                key, value, *_ = line.split()
                if key in found:
                    found[key] += int(value) * 1024
    return found["Pss:"], found["Pss_Shmem:"]


def median_of(repeats: int, measure: Callable[[], float]) -> float:
    """Median of several measurements."""
    return statistics.median(measure() for _ in range(repeats))


def make_clips(folder: Path, count: int, mean_seconds: float, seed: int = 0, longest_seconds: float = 30.0) -> Path:
    """A folder of wav files of odd lengths, log-normal around the mean and none too long, with a sample submission.

    Returns:
        The path of sample_submission.csv; the clips lie in test/ beside it.
    """
    rng = np.random.default_rng(seed)
    seconds = np.clip(rng.lognormal(np.log(mean_seconds) - 0.3, 0.8, count), 0.3, longest_seconds)
    (folder / "test").mkdir(parents=True, exist_ok=True)
    noise = (rng.standard_normal(44100 * 31) * 0.1).astype(np.float32)
    names = [f"{number:08x}.wav" for number in range(count)]
    for name, length in zip(names, (seconds * 44100).astype(int) | 1, strict=True):
        start = int(rng.integers(0, len(noise) - length))
        soundfile.write(folder / "test" / name, noise[start : start + length], 44100, subtype="PCM_16")
    columns = ["Bark", "Tick-tock", "Waves_and_surf", "Raindrop", "Crackle", "Sneeze", "Accordion", "Applause"]
    rows = [",".join(["fname", *columns])] + [",".join([name] + ["0"] * len(columns)) for name in names]
    path = folder / "sample_submission.csv"
    path.write_text("\n".join(rows) + "\n")
    return path
