"""Ctrl-C and SIGTERM as a wish that training looks at after each step and each clip, and how it is granted."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from soundpost.resources.signals import signals_noted


class Paused(Exception):
    """Work has stopped in good order before it was done, and goes on from what it left."""


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Ctrl-C or SIGTERM asks for a stop in good order; a second one ends the process as usual.

    Yields:
        Whether it was asked for.
    """
    asked: list[int] = []
    with signals_noted(asked.append, once=True):
        yield lambda: bool(asked)
