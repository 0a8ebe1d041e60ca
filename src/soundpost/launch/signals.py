"""Signals that ask for the end, noted instead of ending the process at once."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def signals_noted(note: Callable[[int], None]) -> Iterator[None]:
    """SIGTERM and SIGINT are told to note; elsewhere than in the main thread they are left alone.

    Args:
        note: takes the number of a signal; called between any two steps of the interpreter.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def heard(number: int, frame: FrameType | None) -> None:
        note(number)

    before = {number: signal.signal(number, heard) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
