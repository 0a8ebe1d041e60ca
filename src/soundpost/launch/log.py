"""The log of a run: lines on the output, a copy of them in a file, and neither of the two can cost the run anything."""

import re
import sys
from pathlib import Path

from soundpost.resources.streams import put

URGENT = re.compile(r"(error|warning): ")  # lines that are printed even where quiet was asked for


class Log:
    """Prints lines, and keeps a copy in a file as long as that can be written.

    Args:
        path: where the copy goes; None: there is none.
        is_quiet: print nothing but what is urgent.
    """

    def __init__(self, path: Path | None = None, is_quiet: bool = False) -> None:
        self.path = path
        self.is_quiet = is_quiet

    def say(self, text: str) -> None:
        """One line."""
        self._print(f"{text}\n", bool(URGENT.match(text)))

    def sum_up(self, text: str) -> None:
        """The one line that a quiet run prints of what its log holds, on the error stream; empty: nothing."""
        if self.is_quiet and text:
            put(text, sys.stderr)

    def relay(self, text: str) -> None:
        """Output of another process, as it comes."""
        self._print(text, False)

    def _print(self, text: str, is_urgent: bool) -> None:
        if is_urgent or not self.is_quiet:
            put(text, end="")
        if self.path is None:
            return
        try:
            with self.path.open("a", encoding="utf-8", newline="") as file:
                file.write(text)
        except OSError as error:
            path, self.path = self.path, None
            put(f"warning: --log {path}: cannot be written ({error.strerror}); the log is printed alone")
