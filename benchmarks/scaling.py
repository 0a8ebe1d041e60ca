"""Many short clips: do time per clip and memory stay flat, the spectrograms apart?

python benchmarks/scaling.py [--counts 1000,4000,16000] [--cache-memory 64M] [--kernel kernel.py] [--members compact/2]

Memory is measured on the whole process tree, ten times a second: shared memory, which holds the spectrograms that
later passes need, and all the rest. The second table is of runs whose spectrograms may take so much memory and no more.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from measuring import make_clips, run

LONGEST_SECONDS = 4.0  # many clips must not differ from few by a longer longest one


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", default="1000,4000,16000")
    parser.add_argument("--seconds", type=float, default=0.6, help="mean length of a clip")
    parser.add_argument("--cache-memory", default="64M", help="of the second table's spectrograms")
    parser.add_argument("--kernel", default="kernel.py")
    parser.add_argument("--members", default="", help="of the kernel (all)")
    arguments = parser.parse_args()
    counts = [int(count) for count in arguments.counts.split(",")]
    with tempfile.TemporaryDirectory() as name:
        folders = [Path(name) / str(count) for count in counts]
        samples = [
            make_clips(folder, count, arguments.seconds, longest_seconds=LONGEST_SECONDS)
            for folder, count in zip(folders, counts, strict=True)
        ]
        for options in ([], ["--cache-memory", arguments.cache_memory]):
            print(f"\n{' '.join(options) or 'no limit'}\n")
            print("| clips | CPU ms per clip | wall ms per clip | peak of spectrograms | peak of the rest | peak |")
            print("|---|---|---|---|---|---|")
            for count, folder, sample in zip(counts, folders, samples, strict=True):
                usage = run(
                    [
                        *[sys.executable, str(Path(arguments.kernel).resolve()), "--test-dir", str(folder / "test")],
                        *["--sample-submission", str(sample), "--out", str(folder / "submission.csv")],
                        *["--progress", "quiet", *options],
                        *(["--members", arguments.members] if arguments.members else []),
                    ]
                )
                assert usage.status == 0, usage.output
                print(
                    f"| {count:,} | {usage.cpu_seconds / count * 1e3:.1f} | {usage.wall_seconds / count * 1e3:.1f} | "
                    f"{usage.peak_shared_bytes / 1e6:,.0f} MB | {usage.peak_rest_bytes / 1e6:,.0f} MB | "
                    f"{usage.peak_bytes / 1e6:,.0f} MB |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
