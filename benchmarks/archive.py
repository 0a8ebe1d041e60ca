"""An archive by the default engine and by Ray on the same cores: rate, overhead, memory from few clips to many.

    python benchmarks/archive.py --clips FOLDER [--counts 500,2000,8000] [--repeats 3] [--no-ray]

FOLDER holds labelled or unlabelled clips of any length; as many as --counts says are made of them by links, in turns,
so that lengths stay as they are. Rates are medians over the repeats, the engines in turns. Starting Ray is counted
apart, by an archive of one clip; so is starting the default engine.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psutil

SOURCE = Path(__file__).resolve().parents[1] / "src"
LOOK_SECONDS = 0.2  # between two looks at memory


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
        command += ["--device", "cpu", "--engine", engine, "--part", "500", "--quiet"]
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
    with tempfile.TemporaryDirectory() as folder:
        one = _linked(options.clips, Path(folder) / "one", 1)
        start = {engine: median(measure(one, engine).seconds for _ in range(options.repeats)) for engine in engines}
        print("start: " + ", ".join(f"{engine} {seconds:.1f} s" for engine, seconds in start.items()))
        print("| clips | engine | s | clips per s, start left out | CPU s seen | peak memory, MB |")
        print("|---|---|---|---|---|---|")
        for count in map(int, options.counts.split(",")):
            clips = _linked(options.clips, Path(folder) / str(count), count)
            found: dict[str, list[Measured]] = {engine: [] for engine in engines}
            for _ in range(options.repeats):
                for engine in engines:
                    found[engine].append(measure(clips, engine))
            for engine, runs in found.items():
                seconds = median(run.seconds for run in runs)
                cpu, peak = median(run.cpu_seconds for run in runs), median(run.peak_bytes for run in runs)
                rate = count / max(1e-9, seconds - start[engine])
                print(
                    f"| {count:,} | {engine} | {seconds:.1f} | {rate:.1f} | {cpu:.1f} | {peak / 1e6:,.0f} |", flush=True
                )
            if len(engines) > 1:
                ratios = [
                    (r.seconds - start["ray"]) / (h.seconds - start["here"])
                    for h, r in zip(found["here"], found["ray"], strict=True)
                ]
                print(f"Ray over the default at {count:,} clips, starts left out: {median(ratios):.2f}", flush=True)
    return 0


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
