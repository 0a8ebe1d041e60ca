"""Printing that never fails: whoever reads the output may be gone, as `| head` is, and the work goes on."""

import os
import sys
from contextlib import suppress
from typing import TextIO


def put(text: str, stream: TextIO | None = None, end: str = "\n") -> None:
    """Print to a stream (None: this process's output) and flush; from the first failure on it goes nowhere."""
    target = sys.stdout if stream is None else stream
    try:
        target.write(text + end)
        target.flush()
    except (OSError, ValueError):  # ValueError: it was closed
        silence(target)


def silence(stream: TextIO) -> None:
    """Let everything that is written to a stream from now on go nowhere, what it holds back included."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
        stream.flush()
