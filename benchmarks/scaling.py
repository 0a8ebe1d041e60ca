"""Many short clips: does time per clip and memory stay flat?

python benchmarks/scaling.py [--counts 1000,4000,16000]
"""

import argparse
import sys
import tempfile
from pathlib import Path

from measuring import make_clips, run


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", default="1000,4000,16000")
    parser.add_argument("--seconds", type=float, default=0.6, help="mean length of a clip")
    arguments = parser.parse_args()
    print("| clips | CPU ms per clip | wall ms per clip | peak of the tree (PSS) |\n|---|---|---|---|")
    for count in map(int, arguments.counts.split(",")):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            sample = make_clips(folder, count, arguments.seconds)
            usage = run(
                [
                    *[sys.executable, "kernel.py", "--test-dir", str(folder / "test")],
                    *["--sample-submission", str(sample), "--out", str(folder / "submission.csv")],
                    *["--progress", "quiet"],
                ]
            )
        assert usage.status == 0, usage.output
        print(
            f"| {count:,} | {usage.cpu_seconds / count * 1e3:.1f} | {usage.wall_seconds / count * 1e3:.1f} | "
            f"{usage.peak_bytes / 1e6:,.0f} MB |",
            flush=True,
        )


if __name__ == "__main__":
    main()
