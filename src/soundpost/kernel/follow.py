"""A pushed kernel's run, followed by Kaggle's client to its end: status, log, and what it left. Never bundled.

A first run after a new source was attached can start before that source is mounted, with nothing under /kaggle/input.
The kernel says so and ends; the same version is then pushed once more.
"""

import csv
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from soundpost.kernel.client import Answer, PushError, Say, client, words
from soundpost.kernel.preview import preview

POLL_SECONDS = 20.0
MOST_SECONDS = 13 * 3600.0  # Kaggle's longest session is 12 h
UNANSWERED = 5  # times in a row that the client may fail to tell the status: networks come back
LAST_LINES = 25  # so many of the log are shown
RUNNING = ("QUEUED", "RUNNING", "NEW_SCRIPT", "CANCEL_REQUESTED")
COMPLETE = "COMPLETE"
EMPTY_INPUT = "is empty: no sample_submission.csv there"  # what the kernel says then (contest.inputs.locate)
WANTED = r"^(submission\.csv|run\.json)$"  # outputs that are fetched
REASONS = ("error: ", "Error: ", "Traceback", "verdict: ")  # what stands in lines that tell why a run failed


@dataclass(frozen=True)
class Outside:
    """The world that a follower deals with, so that tests can hold the clock."""

    say: Say = print
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    run: Callable[..., Answer] = client


@dataclass(frozen=True)
class Ended:
    """How a run ended."""

    status: str  # as the client names it, such as COMPLETE or ERROR
    failure: str  # Kaggle's own words about a failure
    log: tuple[str, ...]  # lines

    @property
    def had_no_input(self) -> bool:
        """Whether nothing was mounted when it began."""
        return self.status != COMPLETE and any(EMPTY_INPUT in line for line in self.log)


def follow(kernel: str, outside: Outside, at_once: bool = False) -> Ended:
    """Wait until the latest run of a kernel has ended; each change of its status is said.

    Args:
        kernel: owner/slug.
        outside: client, clock and log.
        at_once: whether there is no earlier run that could be taken for this one, so that nothing is waited for first.

    Raises:
        PushError: the client does not tell the status, or the run goes on longer than any session can.
    """
    began, before, failures = outside.clock(), "", 0
    while True:
        if not at_once:
            outside.sleep(POLL_SECONDS)
        at_once = False
        answer = outside.run("kernels", "status", kernel)
        status = status_of(answer)
        failures = 0 if status else failures + 1
        if failures >= UNANSWERED:
            raise PushError(f"no status of {kernel}: {words(answer)}. The run goes on; {look_again(kernel)}")
        if status and status != before:
            outside.say(f"{kernel}: {status.lower()}, {outside.clock() - began:,.0f} s after the push")
            before = status
        if status and status not in RUNNING:
            failure = answer.text.partition("Failure message: ")[2].strip().strip('"')
            return Ended(status, failure, log_lines(outside.run("kernels", "logs", kernel).text))
        if outside.clock() - began > MOST_SECONDS:
            raise PushError(f"{kernel} is {before.lower()} after {MOST_SECONDS / 3600:.0f} h; {look_again(kernel)}")


def show(kernel: str, ended: Ended, folder: Path, outside: Outside) -> Path | None:
    """The log's last lines, then the preview of what the run left, or the reason why it failed.

    Args:
        kernel: owner/slug.
        ended: how it ended.
        folder: where outputs are put; made if it is not there.
        outside: client and log.

    Returns:
        The submission; None where the run left none.

    Raises:
        PushError: the run failed; with the reason.
    """
    submission = folder / "submission.csv"
    for path in (submission, folder / "run.json"):
        path.unlink(missing_ok=True)  # an earlier run's
    fetch(kernel, ended, folder, WANTED, outside)
    ended_well(ended, f" It left {submission}." if submission.is_file() else "")
    if not submission.is_file():
        outside.say(f"no submission.csv among the outputs of {kernel}")
        return None
    if (folder / "run.json").is_file():
        outside.say(preview(folder).to_string())
    return submission


def fetch(kernel: str, ended: Ended, folder: Path, pattern: str, outside: Outside) -> None:
    """The log's last lines are said, and outputs whose names match are put into a folder."""
    for line in ended.log[-LAST_LINES:]:
        outside.say(f"    {line}")
    folder.mkdir(parents=True, exist_ok=True)
    answer = outside.run("kernels", "output", kernel, "-p", str(folder), "-o", "--file-pattern", pattern)
    if answer.status:
        outside.say(f"outputs were not fetched: {words(answer)}")


def ended_well(ended: Ended, left: str) -> None:
    """Refuse a run that failed.

    Args:
        ended: how it ended.
        left: a sentence about what it left all the same.

    Raises:
        PushError: it failed; with the reason.
    """
    if ended.status != COMPLETE:
        status = ended.status.lower()
        raise PushError(f"the run ended with status {status}: {reason(ended)}.{left} Correct it and push again.")


def reason(ended: Ended) -> str:
    """Why a run failed: Kaggle's words, and the last line of the log that tells of an error."""
    told = [line for line in ended.log if any(mark in line for mark in REASONS)]
    said = [ended.failure, *(told[-1:] or ended.log[-1:])]
    return "; ".join(text.rstrip(".") for text in said if text) or "Kaggle gives no reason, and there is no log"


def holds_answers(submission: Path) -> str:
    """Why a submission is not worth sending; empty where it holds answers.

    Class priors alone are the same row for every clip, and run.json beside it tells how many clips were answered.
    """
    record = submission.with_name("run.json")
    if record.is_file():
        told = json.loads(record.read_text("utf-8"))
        answered = told.get("ended", {}).get("answered")
        if answered == 0 or (answered is None and not any(row[1] for row in told.get("writes", []))):
            return "run.json counts no answered clip"
    with submission.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))[1:]
    if not rows:
        return "it has no row"
    alike = len({tuple(row[1:]) for row in rows}) == 1
    return f"all {len(rows):,} rows are the same" if alike and len(rows) > 1 else ""


def look_again(kernel: str) -> str:
    """What to type to see how a run went on."""
    return f"look again with: soundpost push --attach, or kaggle kernels status {kernel}, kaggle kernels logs {kernel}"


def log_lines(text: str) -> tuple[str, ...]:
    """The lines of a log: Kaggle keeps it as JSON, a list of pieces of output, and the client prints that as it is."""
    try:
        pieces = json.loads(text)
    except ValueError:
        return tuple(text.splitlines())
    if not isinstance(pieces, list):
        return tuple(text.splitlines())
    whole = "".join(str(piece.get("data", "")) for piece in pieces if isinstance(piece, dict))
    return tuple(whole.splitlines())


def status_of(answer: Answer) -> str:
    """COMPLETE from 'a/b has status "KernelWorkerStatus.COMPLETE"'; empty where the client says something else."""
    found = answer.text.partition('has status "')[2].partition('"')[0]
    return "" if answer.status else found.rpartition(".")[2].upper()
