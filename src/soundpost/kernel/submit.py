"""A version's submission.csv to the contest by Kaggle's client, and what that tells of its score. Never bundled."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soundpost.kernel.client import PushError, words
from soundpost.kernel.follow import UNANSWERED, Outside, holds_answers

POLL_SECONDS = 60.0
MOST_SECONDS = 26 * 3600.0  # a scored rerun takes two sessions at most, and some waiting
FILE = "submission.csv"
REFUSED = ("Could not find competition", "Traceback", "Error", "error")


@dataclass(frozen=True)
class Pushed:
    """What was pushed, so that it can be looked at and submitted later."""

    kernel: str  # owner/slug
    version: int
    competition: str  # slug

    def write(self, path: Path) -> None:
        """Keep it in a file."""
        table = {"kernel": self.kernel, "version": self.version, "competition": self.competition}
        path.write_text(json.dumps(table) + "\n", "utf-8")


def read_pushed(path: Path) -> Pushed:
    """What was pushed last from a folder.

    Raises:
        PushError: nothing was.
    """
    try:
        table = json.loads(path.read_text("utf-8"))
        return Pushed(table["kernel"], int(table["version"]), table["competition"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PushError(f"{path} tells of no push ({error}). Push once, without --attach.") from error


def submit(pushed: Pushed, submission: Path | None, message: str, outside: Outside) -> None:
    """Submit a version that has run, unless its file holds no answers.

    Args:
        pushed: kernel, version and contest.
        submission: the file that the version left, fetched; None where it left none.
        message: what the submission is called on the contest's page.
        outside: client and log.

    Raises:
        PushError: there is nothing worth submitting, or Kaggle did not take it.
    """
    lack = "it left no submission.csv" if submission is None else holds_answers(submission)
    if lack:
        raise PushError(
            f"version {pushed.version} of {pushed.kernel} was not submitted: {lack}: class priors at best. "
            "Read its log, correct it and push again."
        )
    asked = ("-c", pushed.competition, "-f", FILE, "-k", pushed.kernel, "-v", str(pushed.version), "-m", message)
    answer = outside.run("competitions", "submit", *asked)
    if answer.status or not answer.text or any(word in answer.text for word in REFUSED):
        raise PushError(f"the submission was refused: {words(answer)}. Look at the contest's rules and limits.")
    outside.say(answer.text)


def score(pushed: Pushed, message: str, outside: Outside) -> str:
    """Wait for the score of the newest submission of that message; its status and scores in the client's words.

    Raises:
        PushError: the submission failed, does not appear, or is not scored within two sessions.
    """
    began, before, failures = outside.clock(), "", 0
    while True:
        outside.sleep(POLL_SECONDS)
        found = newest(pushed.competition, message, outside)
        failures = 0 if found else failures + 1
        if found:
            status = str(found["status"]).rpartition(".")[2].lower()
            if status != before:
                outside.say(f"submission {found['ref']}: {status}")
                before = status
            if status == "error":
                raise PushError(f"submission {found['ref']} ended with an error. The contest's page names its class.")
            if status == "complete":
                scores = {name: found.get(f"{name}Score") for name in ("public", "private")}
                return ", ".join(f"{name} score {value}" for name, value in scores.items() if value) or "no score told"
        if failures >= UNANSWERED or outside.clock() - began > MOST_SECONDS:
            raise PushError(f"no score of {pushed.kernel} yet; {look_again(pushed)}.")


def newest(competition: str, message: str, outside: Outside) -> Mapping[str, Any] | None:
    """The newest submission with that message, as the client lists it; None where there is none."""
    answer = outside.run("competitions", "submissions", "-c", competition, "--format", "json")
    line = next((line for line in answer.text.splitlines() if line.startswith("[")), "")
    try:
        rows: list[dict[str, Any]] = json.loads(answer.text[answer.text.index(line) :]) if line else []
    except ValueError:
        return None
    return next((row for row in rows if row.get("description") == message), None)


def look_again(pushed: Pushed) -> str:
    """What to type to see whether there is a score."""
    return f"look again with: kaggle competitions submissions -c {pushed.competition}"
