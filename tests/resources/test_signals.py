"""Signals that ask for the end are noted while somebody wants to know, and do what they did before afterwards."""

import signal
import threading

import pytest

from soundpost.resources.signals import signals_noted

BOTH = (signal.SIGTERM, signal.SIGINT)


@pytest.mark.parametrize("number", BOTH)
def test_signals_are_noted_and_handlers_put_back(number: signal.Signals) -> None:
    """A notebook's own handlers work again after the run."""
    before = [signal.getsignal(one) for one in BOTH]
    noted: list[int] = []
    with signals_noted(noted.append):
        signal.raise_signal(number)
        signal.raise_signal(number)
    assert noted == [number, number]
    assert [signal.getsignal(one) for one in BOTH] == before


def test_second_signal_of_once_does_what_it_did_before() -> None:
    """Whoever presses Ctrl-C twice does not want to wait."""
    noted: list[int] = []
    before = signal.getsignal(signal.SIGINT)
    with signals_noted(noted.append, once=True):
        signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) == before
    assert noted == [signal.SIGINT]
    assert signal.getsignal(signal.SIGINT) == before


@pytest.mark.parametrize("once", [False, True])
def test_another_thread_leaves_signals_alone(once: bool) -> None:
    """Only a main thread may set handlers; elsewhere the work goes on without."""
    before = signal.getsignal(signal.SIGTERM)
    seen: list[object] = []

    def work() -> None:
        with signals_noted(seen.append, once):
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(60)
    assert seen == [before]
