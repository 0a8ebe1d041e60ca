"""The deadline keeps a reserve that grows with slow writes; estimates follow what is measured. A fake clock jumps."""

import pytest

from soundpost.resources.deadline import EXIT_SECONDS, Deadline, Estimate, hang_seconds, kill_seconds


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def test_deadline_counts_from_the_start_of_the_process_and_not_from_its_own() -> None:
    """What the interpreter and the imports took is part of the limit."""
    clock = Clock(107.0)
    deadline = Deadline(60.0, started=100.0, clock=clock)

    assert deadline.elapsed() == 7.0
    assert deadline.left() == 53.0 - deadline.reserve_seconds


def test_deadline_is_over_before_the_limit_by_its_reserve() -> None:
    """Work stops early enough for the last write and the exit, with time before the supervisor kills."""
    clock = Clock(0.0)
    deadline = Deadline(10.0, 0.0, clock)

    clock.now = 10.0 - deadline.reserve_seconds - 0.001
    assert deadline.left() > 0
    clock.now += 0.002
    assert deadline.left() < 0
    assert deadline.reserve_seconds > EXIT_SECONDS + kill_seconds(10.0)
    assert deadline.before_kill() > EXIT_SECONDS


def test_deadline_after_a_slow_write_stops_earlier() -> None:
    """The slowest write so far counts, twice, and quick ones after it change nothing."""
    deadline = Deadline(60.0, 0.0, Clock(0.0))
    before = deadline.reserve_seconds

    deadline.wrote(3.0)
    deadline.wrote(0.01)

    assert deadline.reserve_seconds == pytest.approx(EXIT_SECONDS + 6.0 + kill_seconds(60.0))
    assert deadline.reserve_seconds > before


def test_deadline_after_a_slow_start_stops_earlier() -> None:
    """Where loading took half a minute, leaving takes seconds; where it took two, the usual second is enough."""
    quick, slow = Clock(0.0), Clock(0.0)
    deadlines = Deadline(120.0, 0.0, quick), Deadline(120.0, 0.0, slow)
    usual = deadlines[0].reserve_seconds

    quick.now, slow.now = 2.0, 30.0
    for deadline in deadlines:
        deadline.ready()

    assert deadlines[0].reserve_seconds == usual
    assert deadlines[1].reserve_seconds == pytest.approx(usual + 0.1 * 30.0 - EXIT_SECONDS)


@pytest.mark.parametrize("began", [0.0, 1800.0, 2985.0])
def test_deadline_of_an_engine_that_begins_late_reserves_by_its_own_start(began: float) -> None:
    """An engine that is ready 15 s after it began keeps 1.5 s for its exit, however many engines came before it."""
    deadline = Deadline(3300.0, 0.0, Clock(began + 15.0), engine_started=began)

    deadline.ready()

    assert deadline.reserve_seconds == pytest.approx(1.5 + 0.2 + kill_seconds(3300.0))
    assert deadline.left() == pytest.approx(3300.0 - began - 15.0 - deadline.reserve_seconds)


def test_device_that_gives_no_sign_is_waited_for_a_minute_or_a_part_of_a_short_limit() -> None:
    """An hour can spare a minute; ten seconds cannot."""
    assert [pytest.approx(hang_seconds(limit)) for limit in (12.0, 60.0, 360.0, 3300.0)] == [2.0, 10.0, 60.0, 60.0]


def test_kill_comes_earlier_before_a_longer_limit_within_bounds() -> None:
    """Ten seconds cannot spare much; an hour can spare five, and needs no more."""
    assert [pytest.approx(kill_seconds(limit)) for limit in (10.0, 30.0, 120.0, 3300.0)] == [0.6, 0.6, 2.4, 5.0]


def test_deadline_that_is_shorter_than_its_reserve_leaves_no_time() -> None:
    """A limit of a second is met by doing nothing."""
    assert Deadline(1.0, 0.0, Clock(0.0)).left() < 0


def test_estimate_before_the_first_measurement_knows_nothing() -> None:
    """No number is invented."""
    assert Estimate().seconds(10.0) is None


def test_estimate_follows_what_was_measured_lately() -> None:
    """A machine that becomes ten times slower is believed after a few measurements."""
    estimate = Estimate()
    estimate.add(100.0, 1.0)
    assert estimate.seconds(50.0) == pytest.approx(0.5)

    for _ in range(30):
        estimate.add(100.0, 10.0)

    assert estimate.seconds(50.0) == pytest.approx(5.0, rel=0.05)
