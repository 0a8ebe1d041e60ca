"""Peak memory of the process tree against --memory-limit, and what a limit costs when nearly all is spilled.

python benchmarks/memory.py [--clips 400] [--limits 800M,1200M,2G,4G] [--repeats 3] [--kernel kernel.py]

A limit that is too small is refused several times, and the smallest figure that the refusals name is then tried out.
"""

import argparse
import re
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
    parser.add_argument("--repeats", type=int, default=3, help="of refusals, and of runs in memory and spilled")
    parser.add_argument("--kernel", default="kernel.py")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sample = make_clips(folder, arguments.clips, 8.5)
        kernel = [sys.executable, str(Path(arguments.kernel).resolve()), "--test-dir", str(folder / "test")]
        kernel += ["--sample-submission", str(sample), "--out", str(folder / "submission.csv"), "--progress", "quiet"]
        refusals = [run([*kernel, "--memory-limit", "300M"]) for _ in range(arguments.repeats)]
        named = [int(re.search(r"below the (\d+)M that", refused.output)[1]) for refused in refusals]
        print(f"300M: status {refusals[0].status}, refused with {', '.join(f'{figure}M' for figure in named)}\n")
        print("| limit | peak of the tree (PSS) | share | status |\n|---|---|---|---|")
        for limit in [f"{min(named)}M", *arguments.limits.split(",")]:
            usage = run([*kernel, "--memory-limit", limit])
            allowed = parse_bytes(limit, "limits")
            print(
                f"| {limit} | {usage.peak_bytes / 1e6:,.0f} MB | {usage.peak_bytes / allowed:.2f} | {usage.status} |",
                flush=True,
            )
        ratios = []
        for _ in range(arguments.repeats):
            free = run([*kernel, "--cache-memory", "4G"])
            spilled = run([*kernel, "--cache-memory", "4M"])
            ratios.append(spilled.wall_seconds / free.wall_seconds)
        print(f"\nwall time, nearly all spilled over all in memory: {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
