"""Signals that ask for the end, noted instead of ending the process at once."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

ASKING = (signal.SIGTERM, signal.SIGINT)  # what asks for a stop


@contextmanager
def signals_noted(note: Callable[[int], None], once: bool = False) -> Iterator[None]:
    """SIGTERM and SIGINT are told to note; elsewhere than in the main thread they are left alone.

    Args:
        note: takes the number of a signal; called between any two steps of the interpreter.
        once: the first one is noted, and a second one does what it did before.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def heard(number: int, frame: FrameType | None) -> None:
        if once:
            put_back()
        note(number)

    def put_back() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    before = {number: signal.signal(number, heard) for number in ASKING}
    try:
        yield
    finally:
        put_back()
