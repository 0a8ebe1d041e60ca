"""Kaggle's scored rerun: what ends there with an error status is not scored, so answers end with status 0.

A rerun's log is not shown to anybody, and its file is thrown away with the run when the status is not 0. Everywhere
else, and wherever there are no answers, the status stays the truth: a file that holds class priors alone is no result
that a person would want to be given for one.
"""

import os
from collections.abc import Callable
from pathlib import Path

from soundpost.contest.submission import Sample, check
from soundpost.exit_status import STATUS_OK

MARK = "KAGGLE_IS_COMPETITION_RERUN"  # set, and not empty, in the scored rerun alone
RUN_TYPE = "KAGGLE_KERNEL_RUN_TYPE"  # "Interactive" in Kaggle's editor, "Batch" where a version is saved


def is_rerun() -> bool:
    """Whether this is Kaggle's scored rerun."""
    return bool(os.environ.get(MARK))


def is_on_kaggle() -> bool:
    """Whether this runs in one of Kaggle's sessions, where the clips of a contest may be hidden until the rerun."""
    return bool(os.environ.get(RUN_TYPE)) or is_rerun()


def final_status(
    status: int, answered: int, out: Path, sample: Sample, say: Callable[[str], None], unit: str = "clips"
) -> int:
    """The status with which the process ends.

    Args:
        status: how the run ended.
        answered: how many predictions the submission holds.
        out: the submission.
        sample: the rows and columns that it must have.
        say: prints one line of the log.
        unit: what is counted.

    Returns:
        STATUS_OK in the rerun, if the file is valid and holds answers; elsewhere the status as it is.
    """
    if status == STATUS_OK or not answered or not is_rerun():
        return status
    if faults := check(out, sample):
        say(f"ends with status {status}: {out} is not valid ({faults[0]})")
        return status
    say(
        f"status {status}, but this is the scored rerun, in which an error would throw away the {answered:,} predicted "
        f"{unit} of a valid {out.name}: ends with {STATUS_OK}"
    )
    return STATUS_OK
