"""The kernel on contest-shaped folders: lwlrap, seconds and memory.

    python benchmarks/contest.py FOLDER=MEMBERS ...        such as fat1=compact/1 fat2=compact/2

Each FOLDER holds test/, sample_submission.csv and truth.csv (fname,labels); MEMBERS never heard its clips.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from measuring import run

from soundpost.evaluation.metrics import lwlrap


def score(submission: Path, truth: Path) -> float:
    """lwlrap of a submission, over the clips that the truth names."""
    answers = pd.read_csv(submission).set_index("fname")
    labels = pd.read_csv(truth, dtype=str, keep_default_na=False).set_index("fname")["labels"]
    wanted = np.array([[column in row.split(",") for column in answers.columns] for row in labels])
    return lwlrap(wanted, answers.loc[labels.index].to_numpy())


def main() -> None:
    """Print one row for each folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", nargs="+", metavar="FOLDER=MEMBERS")
    print("| folder, members | clips | lwlrap | wall s | CPU s | peak of the tree (PSS) |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        submission = Path(name) / "submission.csv"
        for pair in parser.parse_args().pairs:
            place, _, members = pair.partition("=")
            folder = Path(place)
            command = [sys.executable, "kernel.py", "--test-dir", str((folder / "test").resolve())]
            command += ["--sample-submission", str((folder / "sample_submission.csv").resolve())]
            usage = run([*command, "--out", str(submission), "--members", members, "--progress", "quiet"])
            assert usage.status == 0, usage.output
            print(
                f"| {folder.name}, {members} | {len(pd.read_csv(submission))} "
                f"| {score(submission, folder / 'truth.csv'):.4f} | {usage.wall_seconds:.1f} | {usage.cpu_seconds:.1f} "
                f"| {usage.peak_bytes / 1e6:,.0f} MB |",
                flush=True,
            )


if __name__ == "__main__":
    main()
