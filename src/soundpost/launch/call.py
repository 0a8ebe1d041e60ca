"""A whole run, as kernel.py makes it, from Python (soundpost.run) and from the command line (soundpost run)."""

from collections.abc import Sequence
from pathlib import Path

from soundpost.launch import main as kernel


def main(arguments: Sequence[str] | None = None) -> int:
    """`soundpost run`: what kernel.py does with these arguments; the exit status of the run."""
    return kernel.main(arguments, prog="soundpost run")


def run(
    test_dir: str | Path,
    sample_submission: str | Path | None = None,
    out: str | Path = "submission.csv",
    **options: object,
) -> int:
    """Tag a folder of clips and write submission.csv, in processes of its own and within its limits.

    Args:
        test_dir: folder of the clips.
        sample_submission: rows and columns to fill; None: the one beside the clips, else all clips and all labels.
        out: file to write.
        options: any other of `soundpost run --help`, with underscores: time_limit="10m", device="cpu", quiet and so on.

    Returns:
        The exit status: 0 when every row holds a prediction or a counted fallback; others as `soundpost run --help`
        lists them.
    """
    settings = {name.replace("_", "-"): value for name, value in options.items()}
    settings |= {"test-dir": str(test_dir), "out": str(out)}
    if sample_submission is not None:
        settings["sample-submission"] = str(sample_submission)
    return kernel.main([], settings)
