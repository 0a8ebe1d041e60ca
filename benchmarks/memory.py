"""Peak memory of the process tree against --memory-limit, and what a limit costs when nearly all is spilled.

python benchmarks/memory.py [--clips 400] [--limits 800M,1200M,2G,4G] [--repeats 3]
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from measuring import make_clips, run

from soundpost.settings import parse_bytes


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=400)
    parser.add_argument("--limits", default="800M,1200M,2G,4G")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sample = make_clips(folder, arguments.clips, 8.5)
        kernel = [sys.executable, "kernel.py", "--test-dir", str(folder / "test"), "--sample-submission", str(sample)]
        kernel += ["--out", str(folder / "submission.csv"), "--progress", "quiet"]
        print("| limit | peak of the tree (PSS) | share | status |\n|---|---|---|---|")
        for limit in arguments.limits.split(","):
            usage = run([*kernel, "--memory-limit", limit])
            allowed = parse_bytes(limit, "limits")
            print(f"| {limit} | {usage.peak_bytes / 1e6:,.0f} MB | {usage.peak_bytes / allowed:.2f} | {usage.status} |")
        refused = run([*kernel, "--memory-limit", "300M"])
        print(f"\n300M: status {refused.status}: {refused.output.strip().splitlines()[-1]}\n")
        ratios, shares = [], []
        for _ in range(arguments.repeats):
            free = run([*kernel, "--cache-memory", "4G"])
            spilled = run([*kernel, "--cache-memory", "4M"])
            ratios.append(spilled.wall_seconds / free.wall_seconds)
            shares.append(spilled.output)
        print(f"wall time, nearly all spilled over all in memory: {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
