"""Runs on a machine that others crowd: does the process end before its limit, however little it gets?

    python benchmarks/crowded.py [--limits 10,30,120] [--others 0,20] [--repeats 3] [--kernel FILE [--input-root DIR]]

The others keep every core busy and walk through memory, each in a session of its own, so that the scheduler gives none
of them less than the run. There are more clips than any of these limits is enough for.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from measuring import make_clips, run

BURN = "block = bytearray(20_000_000)\nwhile True:\n    for i in range(0, len(block), 4096):\n        block[i] = 1"
CLIPS_PER_SECOND = 400  # clips for each second of the longest limit; more than two cores answer
CLIP_SECONDS = 0.6


@contextmanager
def crowd(count: int) -> Iterator[None]:
    """So many busy programs."""
    others = [subprocess.Popen([sys.executable, "-c", BURN], start_new_session=True) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def main() -> int:
    """Print the table; status 1 if any run came too late."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limits", default="10,30,120", help="seconds")
    parser.add_argument("--others", default="0,20", help="busy programs beside the run")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--kernel", default="kernel.py")
    parser.add_argument("--input-root", default="", help="where the weights of that kernel lie, if not inside it")
    arguments = parser.parse_args()
    limits = [int(limit) for limit in arguments.limits.split(",")]
    is_late = False
    print("| others | limit, s | wall s | status |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sample = make_clips(folder, CLIPS_PER_SECOND * max(limits), CLIP_SECONDS, longest_seconds=4.0)
        command = [sys.executable, str(Path(arguments.kernel).resolve()), "--test-dir", str(folder / "test")]
        command += ["--sample-submission", str(sample), "--out", str(folder / "submission.csv"), "--progress", "quiet"]
        command += ["--input-root", arguments.input_root] if arguments.input_root else []
        for others in map(int, arguments.others.split(",")):
            for limit in limits:
                with crowd(others):
                    usages = [run([*command, "--time-limit", str(limit)]) for _ in range(arguments.repeats)]
                is_late |= any(usage.wall_seconds > limit for usage in usages)
                seconds = ", ".join(f"{usage.wall_seconds:.1f}" for usage in usages)
                print(f"| {others} | {limit} | {seconds} | {', '.join(str(u.status) for u in usages)} |", flush=True)
    return int(is_late)


if __name__ == "__main__":
    sys.exit(main())
