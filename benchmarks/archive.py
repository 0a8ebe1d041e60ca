"""An archive by the default engine and by Ray on the same cores: rate, overhead, memory from few clips to many.

    python benchmarks/archive.py --clips FOLDER [--counts 500,2000,8000] [--repeats 3] [--no-ray]

FOLDER holds labelled or unlabelled clips of any length; as many as --counts says are made of them by links, in turns,
so that lengths stay as they are. Engines come in turns, and what is printed are medians over the repeats. A start is an
archive of one clip; Ray starts further processes for more clips, so what more clips cost beside fewer is told, too. The
last table is that of docs/archive.md: cores times the rate of one, which decodes, computes features and predicts.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

import psutil

SOURCE = Path(__file__).resolve().parents[1] / "src"
LOOK_SECONDS = 1.0  # between two looks at memory, which cost the more the more processes there are
MACHINES, MACHINE_CORES = (1, 4, 16), 16  # what the table by arithmetic tells


@dataclass(frozen=True)
class Measured:
    """One run."""

    seconds: float
    cpu_seconds: float  # all its processes together, as far as they were seen
    peak_bytes: int  # most of the whole tree, pages that are shared counted by their share


def measure(clips: Path, engine: str) -> Measured:
    """Tag a folder in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "soundpost.cli", "tag", str(clips), "--out", f"{folder}/TAGS.parquet"]
        command += ["--device", "cpu", "--engine", engine, "--quiet"]
        began = time.monotonic()
        process = subprocess.Popen(command, env=_environment(), stdout=subprocess.DEVNULL)
        tree, peak, cpu = psutil.Process(process.pid), 0, {}
        while process.poll() is None:
            used = 0
            for one in _family(tree):
                try:
                    used += one.memory_full_info().pss
                    times = one.cpu_times()
                    cpu[one.pid] = times.user + times.system
                except psutil.Error:
                    continue
            peak = max(peak, used)
            time.sleep(LOOK_SECONDS)
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
        return Measured(time.monotonic() - began, sum(cpu.values()), peak)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--counts", default="500,2000,8000")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--no-ray", action="store_true")
    options = parser.parse_args(arguments)
    engines = ["here"] if options.no_ray else ["here", "ray"]
    counts = [1, *sorted(map(int, options.counts.split(",")))]
    found: dict[tuple[str, int], list[Measured]] = {}
    print("| clips | engine | s | clips per s, start left out | CPU s seen | peak memory, MB |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for count in counts:
            clips = _linked(options.clips, Path(folder) / str(count), count)
            for _ in range(options.repeats):
                for engine in engines:
                    found.setdefault((engine, count), []).append(measure(clips, engine))
            for engine in engines:
                _say_row(engine, count, found)
    for count in counts[1:]:
        if len(engines) > 1:
            _say_overhead(count, found)
    if len(engines) > 1:
        for fewer, more in pairwise(counts[1:]):
            seconds = {e: _median(found[e, more], "seconds") - _median(found[e, fewer], "seconds") for e in engines}
            print(f"Ray over the default, {more:,} clips beside {fewer:,}: {seconds['ray'] / seconds['here']:.2f}")
    _say_by_arithmetic(counts[-1], found)
    return 0


def _median(runs: Sequence[Measured], what: str) -> float:
    return median(getattr(run, what) for run in runs)


def _say_row(engine: str, count: int, found: Mapping[tuple[str, int], Sequence[Measured]]) -> None:
    runs, start = found[engine, count], _median(found[engine, 1], "seconds")
    seconds, cpu = _median(runs, "seconds"), _median(runs, "cpu_seconds")
    rate = f"{count / max(1e-9, seconds - start):.1f}" if count > 1 else "-"
    peak = _median(runs, "peak_bytes") / 1e6
    print(f"| {count:,} | {engine} | {seconds:.1f} | {rate} | {cpu:.1f} | {peak:,.0f} |", flush=True)


def _say_overhead(count: int, found: Mapping[tuple[str, int], Sequence[Measured]]) -> None:
    """Ray over the default, run by run: the clock with starts left out, and the cores' seconds in all."""
    start = {engine: _median(found[engine, 1], "seconds") for engine in ("here", "ray")}
    pairs = list(zip(found["here", count], found["ray", count], strict=True))
    clock = median((r.seconds - start["ray"]) / (h.seconds - start["here"]) for h, r in pairs)
    cpu = median(r.cpu_seconds / h.cpu_seconds for h, r in pairs)
    print(
        f"Ray over the default, {count:,} clips: {clock:.2f} by the clock, starts left out; {cpu:.2f} by CPU s, all in"
    )


def _say_by_arithmetic(count: int, found: Mapping[tuple[str, int], Sequence[Measured]]) -> None:
    """What machines would do in an hour by the default engine's seconds of a core for a clip."""
    seconds = _median(found["here", count], "cpu_seconds") - _median(found["here", 1], "cpu_seconds")
    rate = (count - 1) / seconds
    print(f"\n{count - 1:,} more clips took {seconds:,.1f} s more of the cores: {rate:.1f} clips a second and core")
    print(f"\n| machines of {MACHINE_CORES} cores | clips an hour, by arithmetic | 600,000 clips, by arithmetic |")
    print("|---|---|---|")
    for machines in MACHINES:
        an_hour = machines * MACHINE_CORES * rate * 3600
        print(f"| {machines} | {float(f'{an_hour:.2g}'):,.0f} | {600_000 / an_hour * 60:.2g} min |")


def _linked(clips: Path, folder: Path, count: int) -> Path:
    """A folder of so many clips: links to those that there are, in turns."""
    files = sorted(path for path in clips.rglob("*") if path.suffix in (".wav", ".ogg", ".flac"))
    folder.mkdir()
    for number in range(count):
        source = files[number % len(files)]
        link = folder / f"{number:06}{source.suffix}"
        try:
            link.hardlink_to(source)
        except OSError:  # on another disk
            link.write_bytes(source.read_bytes())
    return folder


def _family(tree: psutil.Process) -> list[psutil.Process]:
    try:
        return [tree, *tree.children(recursive=True)]
    except psutil.Error:
        return []


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(SOURCE)}


if __name__ == "__main__":
    sys.exit(main())
