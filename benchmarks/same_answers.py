"""Whether two kernels answer alike to the last bit: each clip alone, in float32, on the CPU.

    python benchmarks/same_answers.py BEFORE/kernel.py kernel.py --test-dir CLIPS [--clips 8]

Clips of one run share batches as they come, so the order of sums inside a kernel, and with it the last bit, follows the
clock. A clip alone is one batch of its own windows: what differs then is the arithmetic. Clips are taken at equal steps
through the folder, sorted by size, so that short and long ones are among them. Windows of a long clip may still come in
two batches on a crowded machine, so a clip that differs is asked again, up to --tries times, and how often a kernel
differed from itself is told. Status 0 when every file is the same.
"""

import argparse
import csv
import subprocess
import sys
import tempfile
from pathlib import Path


def answer(kernel: Path, clip: Path, columns: list[str], folder: Path) -> str:
    """The submission of one clip; what the kernel prints is shown only where it fails."""
    (folder / "test").mkdir(parents=True)
    (folder / "test" / clip.name).symlink_to(clip.resolve())
    sample, out = folder / "sample_submission.csv", folder / "submission.csv"
    with sample.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, [clip.name, *["0"] * (len(columns) - 1)]])
    options = ["--test-dir", str(folder / "test"), "--sample-submission", str(sample), "--out", str(out)]
    options += ["--precision", "float32", "--device", "cpu", "--progress", "lines"]
    command = [sys.executable, str(kernel.resolve()), *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{kernel} ended with status {done.returncode} on {clip.name}:\n{done.stdout}{done.stderr}")
    return out.read_text("utf-8")


def compare(before: Path, after: Path, clip: Path, columns: list[str], tries: int) -> tuple[bool, str]:
    """Whether both kernels gave one submission of a clip in some try, and what to say about it."""
    answers: tuple[list[str], list[str]] = [], []
    for number in range(1, tries + 1):
        for kernel, given in zip((before, after), answers, strict=True):
            with tempfile.TemporaryDirectory() as folder:
                given.append(answer(kernel, clip, columns, Path(folder) / "run"))
        if set(answers[0]) & set(answers[1]):
            if number == 1:
                return True, "the same bytes"
            unlike = [len(set(given)) - 1 for given in answers]
            return (
                True,
                f"the same bytes in try {number}; from themselves differed {unlike[0]} before, {unlike[1]} after",
            )
    return False, f"different in {tries} tries"


def main() -> int:
    """Print a line for each clip and the verdict."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, help="one kernel.py")
    parser.add_argument("after", type=Path, help="the other")
    parser.add_argument("--test-dir", type=Path, required=True, help="folder of clips, beside a sample_submission.csv")
    parser.add_argument("--clips", type=int, default=8, help="how many (default 8)")
    parser.add_argument("--tries", type=int, default=3, help="how often a clip that differs is asked (default 3)")
    options = parser.parse_args()
    with (options.test_dir.parent / "sample_submission.csv").open(newline="", encoding="utf-8") as file:
        columns = next(csv.reader(file))
    clips = sorted(
        (path for path in options.test_dir.iterdir() if path.is_file()), key=lambda path: path.stat().st_size
    )
    chosen = clips[:: max(1, len(clips) // options.clips)][: options.clips]
    different = 0
    for clip in chosen:
        same, said = compare(options.before, options.after, clip, columns, options.tries)
        different += not same
        print(f"{clip.name}, {clip.stat().st_size:,} bytes: {said}", flush=True)
    print(f"{len(chosen) - different} of {len(chosen)} submissions are the same to the last byte")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
