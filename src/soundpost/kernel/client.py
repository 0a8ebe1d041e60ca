"""Kaggle's client as a process: what it printed and how it ended. Never bundled.

It ends with status 0 on most refusals, so its words are what counts. Credentials are its own affair.
"""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

from soundpost.errors import KitError

CLIENT = (sys.executable, "-m", "kaggle", "--no-warn")
SHOWN_CHARACTERS = 2000  # how much of the client's words a refusal shows

Say = Callable[[str], None]


class PushError(KitError):
    """Kaggle or its client did not take what was pushed; the message holds their words."""


@dataclass(frozen=True)
class Answer:
    """What the client printed, and how it ended."""

    text: str
    status: int


def client(*arguments: str) -> Answer:
    """Run Kaggle's client; its output and errors in one text."""
    done = subprocess.run([*CLIENT, *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    return Answer("\n".join(filter(None, (done.stdout.strip(), done.stderr.strip()))), done.returncode)


def words(answer: Answer) -> str:
    """What the client said, cut to its end, for a message."""
    text = answer.text or f"nothing was printed, status {answer.status}"
    return text[-SHOWN_CHARACTERS:].rstrip(".")
