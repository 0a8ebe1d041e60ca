"""Exit statuses by name, and the one place where an error of a command becomes a line and a status."""

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec

from soundpost.errors import KitError

STATUS_OK = 0
STATUS_DEFECT = 1  # an exception that nobody foresaw
STATUS_REFUSED = 2  # settings, weights or limits with which there can be no prediction
STATUS_NOTHING = 3  # the time ended before any clip was answered
STATUS_DEVICE = 75  # the device broke; another engine can go on without it

Arguments = ParamSpec("Arguments")


def refusing(command: Callable[Arguments, int]) -> Callable[Arguments, int]:
    """A command that ends with STATUS_REFUSED and one line for what a person can correct, instead of raising."""

    @functools.wraps(command)
    def refuses(*arguments: Arguments.args, **others: Arguments.kwargs) -> int:
        try:
            return command(*arguments, **others)
        except KitError as error:
            print(f"error: {error}", file=sys.stderr)
            return STATUS_REFUSED

    return refuses
