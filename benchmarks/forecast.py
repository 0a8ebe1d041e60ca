"""The dry run's forecast beside the run that it foretells, in turns: seconds, and what a limit cuts off.

    python benchmarks/forecast.py [--shapes few many windows late] [--repeats 3] [--scale 1.0]

The dry run sees every third clip of a folder and foretells the whole of it; then the whole folder is run. Both count
from the start of their process to its end. The shapes:

    few         few clips, every member with every view
    many        many short clips, one member with one view
    windows     recordings of a minute whose rows are windows of five seconds
    late        a limit that cuts the plan: the passes that end in time are compared, too
    none        a limit in which not even the first pass ends, which the dry run must tell with status 3; the share of
                clips that get an answer is compared

Clips are noise of odd lengths, the weights those that travel with the code. --scale makes the folders larger.
"""

import argparse
import csv
import os
import re
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from measuring import make_clips, run

EVERY = 3  # the dry run sees every third clip, and foretells three times as many
RATE, RECORDING_SECONDS, WINDOW_SECONDS = 32_000, 60, 5


@dataclass(frozen=True)
class Shape:
    """What is run: how many clips of what length, and with which options."""

    clips: int
    seconds: float  # mean length of a clip; 0: recordings with windows
    options: tuple[str, ...] = ()
    limit: float = 0.0  # seconds of the run; a share of what the whole run took, where it is below 1


SHAPES = {
    "few": Shape(120, 8.0),
    "many": Shape(1500, 2.0, ("--members", "compact/1", "--views", "1")),
    "windows": Shape(60, 0.0, ("--members", "compact/1,compact/2")),
    "late": Shape(360, 8.0, limit=0.6),
    "none": Shape(1500, 8.0, limit=14.0),
}


@dataclass(frozen=True)
class Foretold:
    """What a dry run says."""

    seconds: float  # until the last pass that is in time has ended, and the end behind it
    passes: int  # planned ones that end in time
    planned: int
    share: float  # percent of the clips get an answer
    status: int


def make_recordings(folder: Path, count: int) -> None:
    """Recordings of noise, and a sample whose rows name other ones, as it is where the test set is hidden."""
    (folder / "test").mkdir(parents=True)
    columns = ["Bark", "Tick-tock", "Waves_and_surf", "Raindrop", "Crackle", "Sneeze"]
    for number in range(count):
        noise = np.random.default_rng(number).normal(0, 0.1, RECORDING_SECONDS * RATE)
        soundfile.write(folder / "test" / f"r{number:03}.ogg", noise, RATE)
    with (folder / "sample_submission.csv").open("w", newline="") as file:
        rows = [[f"stub_{(i + 1) * WINDOW_SECONDS}", *[0] * len(columns)] for i in range(2)]
        csv.writer(file).writerows([["row_id", *columns], *rows])


def make_part(whole: Path, part: Path) -> None:
    """A folder with every third clip of another, of all lengths alike, and the rows of these."""
    (part / "test").mkdir(parents=True)
    by_size = sorted((whole / "test").iterdir(), key=lambda path: (path.stat().st_size, path.name))
    chosen = by_size[1::EVERY]
    for path in chosen:
        os.link(path, part / "test" / path.name)
    header, *rows = (whole / "sample_submission.csv").read_text().splitlines()
    names = {path.name for path in chosen}
    kept = [row for row in rows if row.split(",")[0] in names or row.startswith("stub_")]
    (part / "sample_submission.csv").write_text("\n".join([header, *kept]) + "\n")


def command(folder: Path, out: Path, options: Sequence[str]) -> list[str]:
    """One run over a folder."""
    paths = ["--test-dir", str(folder / "test"), "--sample-submission", str(folder / "sample_submission.csv")]
    fixed = ["--device", "cpu", "--progress", "lines", "--out", str(out)]
    return [sys.executable, "-m", "soundpost.launch.main", *fixed, *paths, *options]


def foretell(part: Path, count: int, out: Path, options: Sequence[str]) -> Foretold:
    """The dry run over a part of the clips, that expects them all."""
    usage = run(command(part, out, [*options, "--dry-run", "--expect-clips", str(count)]))
    steps = re.findall(r"s, ends at +([\d,.]+) s of [\d,]+ s(: too late)?$", usage.output, re.MULTILINE)
    end = re.search(r"\bend: ([\d,.]+) s", usage.output)
    if not steps or not end:
        sys.exit(f"no forecast (status {usage.status}):\n{usage.output}")
    in_time = [float(ends.replace(",", "")) for ends, late in steps if not late]
    share = re.search(r"about (\d+)% of", usage.output)
    return Foretold(
        (in_time[-1] if in_time else float(steps[0][0].replace(",", ""))) + float(end[1].replace(",", "")),
        len(in_time),
        len(steps),
        float(share[1]) if share else 100.0,
        usage.status,
    )


def taken(whole: Path, out: Path, options: Sequence[str]) -> tuple[float, int, float]:
    """The run itself: seconds, passes that were complete, percent of the clips that have an answer."""
    usage = run(command(whole, out, options))
    found = re.search(r"([\d,]+) of ([\d,]+) (?:clips|rows) predicted.*; (\d+) of \d+ passes complete", usage.output)
    if not found:
        sys.exit(f"no run (status {usage.status}):\n{usage.output}")
    answered, of = (int(text.replace(",", "")) for text in found.groups()[:2])
    return usage.wall_seconds, int(found[3]), 100 * answered / of


def measure(name: str, shape: Shape, scale: float, repeats: int, folder: Path) -> None:
    """Print the line of one shape."""
    whole, part, out = folder / "whole", folder / "part", folder / "submission.csv"
    count = EVERY * max(1, round(shape.clips * scale / EVERY))
    if shape.seconds:
        make_clips(whole, count, shape.seconds)
    else:
        make_recordings(whole, count)
    make_part(whole, part)
    options = [*shape.options]
    if shape.limit:
        seconds = shape.limit if shape.limit >= 1 else shape.limit * taken(whole, out, options)[0]
        options += ["--time-limit", f"{seconds:.0f}s"]
    pairs = [(foretell(part, count, out, options), taken(whole, out, options)) for _ in range(repeats)]
    ratios = [said.seconds / took[0] for said, took in pairs]
    said, took = pairs[-1]
    print(
        f"| {name}, {count:,}{', limit ' + options[-1] if shape.limit else ''} "
        f"| {statistics.median(f.seconds for f, _ in pairs):.1f} | {statistics.median(t[0] for _, t in pairs):.1f} "
        f"| {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) "
        f"| {said.passes} / {took[1]} of {said.planned} | {said.share:.0f} / {took[2]:.0f} % | {said.status} |",
        flush=True,
    )


def main() -> None:
    """Print one line for each shape."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", choices=list(SHAPES), default=list(SHAPES))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0)
    options = parser.parse_args()
    print(
        "| shape, clips | foretold s | taken s | foretold over taken | passes in time, foretold / taken "
        "| clips answered | status of the dry run |\n|---|---|---|---|---|---|---|"
    )
    for name in options.shapes:
        with tempfile.TemporaryDirectory() as folder:
            measure(name, SHAPES[name], options.scale, options.repeats, Path(folder))


if __name__ == "__main__":
    main()
