"""More time, better answer: lwlrap as a function of --time-limit, drawn to docs/curve.png.

    python benchmarks/curve.py --folder FOLDER [--limits 10,12,15,20,30,60] [--members compact/1,...]

FOLDER is made by any maker of contest-shaped folders: test/, sample_submission.csv and truth.csv (fname,labels).
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

import matplotlib as mpl
from contest import score
from measuring import ROOT, run

mpl.use("Agg")


def main() -> None:
    """Print the table and draw the curve."""
    import matplotlib.pyplot as plt

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--limits", default="10,12,15,20,30,60")
    parser.add_argument("--members", default="")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "curve.png")
    arguments = parser.parse_args()
    limits = [float(limit) for limit in arguments.limits.split(",")]
    scores, walls = [], []
    with tempfile.TemporaryDirectory() as name:
        submission = Path(name) / "submission.csv"
        print("| --time-limit (s) | lwlrap (median) | wall s (longest) |\n|---|---|---|")
        for limit in limits:
            found, seconds = [], []
            for _ in range(arguments.repeats):
                usage = run(
                    [
                        *[sys.executable, "kernel.py", "--test-dir", str(arguments.folder / "test")],
                        *["--sample-submission", str(arguments.folder / "sample_submission.csv")],
                        *["--out", str(submission), "--time-limit", f"{limit}s", "--progress", "quiet"],
                        *(["--members", arguments.members] if arguments.members else []),
                    ]
                )
                found.append(score(submission, arguments.folder / "truth.csv"))
                seconds.append(usage.wall_seconds)
            scores.append(statistics.median(found))
            walls.append(max(seconds))
            print(f"| {limit:g} | {scores[-1]:.4f} | {walls[-1]:.1f} |", flush=True)
    figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
    axes.plot(limits, scores, marker="o")
    axes.set(xscale="log", xlabel="--time-limit, seconds", ylabel="lwlrap", title="More time, better answer")
    axes.set_xticks(limits, [f"{limit:g}" for limit in limits])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    figure.savefig(arguments.out, dpi=110)


if __name__ == "__main__":
    main()
