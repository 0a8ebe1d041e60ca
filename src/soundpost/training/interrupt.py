"""Ctrl-C and SIGTERM as a wish that training looks at after each step and each clip, and how it is granted."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

ASKING = (signal.SIGINT, signal.SIGTERM)  # what asks for a stop


class Paused(Exception):
    """Work has stopped in good order before it was done, and goes on from what it left."""


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Ctrl-C or SIGTERM asks for a stop in good order; a second one ends the process as usual.

    Yields:
        Whether it was asked for.
    """
    asked = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        for asking, usual in before.items():
            signal.signal(asking, usual)

    before = {number: signal.signal(number, ask) for number in ASKING}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
