"""The memory limit shared out: never more than there is, and refused where there is too little."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundpost.errors import SettingsError
from soundpost.resources.memory import GIB, MIB
from soundpost.resources.memory_budget import MARGIN_SHARE, MIN_CACHE_BYTES, WORKER_BYTES, share


@given(
    limit=st.integers(300 * MIB, 64 * GIB),
    resident=st.integers(100 * MIB, 4 * GIB),
    workers=st.integers(1, 64),
    method=st.sampled_from(sorted(WORKER_BYTES)),
    lanes=st.integers(1, 64),
    lane=st.integers(1, 4 * GIB),
    window=st.integers(1, GIB),
)
def test_shares_of_any_machine_stay_under_its_limit(
    limit: int, resident: int, workers: int, method: str, lanes: int, lane: int, window: int
) -> None:
    """All parts together, the margin included, are at most the limit; nobody gets less than can work."""
    try:
        shares = share(limit, resident, workers, method, lanes, lane, window)
    except SettingsError:
        return
    total = resident + shares.lanes * shares.lane_bytes + shares.cache_bytes + shares.workers * shares.worker_bytes
    assert total <= limit * (1 - MARGIN_SHARE) + 1
    assert 1 <= shares.workers <= workers
    assert 1 <= shares.lanes <= lanes
    assert shares.cache_bytes >= MIN_CACHE_BYTES
    assert shares.worker_bytes >= WORKER_BYTES[method]
    assert shares.lane_bytes >= window


def test_limit_that_is_too_small_is_refused_with_the_figure_that_is_not() -> None:
    """The figure in the message is one with which the run starts, also if it needs a little more; less is refused."""
    wanted = (400 * MIB, 4, "fork", 2, 64 * MIB, 8 * MIB)
    with pytest.raises(SettingsError, match=r"--memory-limit 300M is below the [\d,]+M") as caught:
        share(300_000_000, *wanted)
    least = int(re.search(r"the ([\d,]+)M", str(caught.value))[1].replace(",", "")) * 10**6

    assert share(least, *wanted).workers == 1
    assert share(least, int(1.02 * wanted[0]), *wanted[1:]).workers == 1
    with pytest.raises(SettingsError, match="below"):
        share(int(least / 1.04), *wanted)


def test_short_memory_costs_workers_and_batches_before_it_costs_the_run() -> None:
    """Less memory means fewer workers and smaller batches, more means what was wished for."""
    little = share(700 * MIB, 400 * MIB, 8, "fork", 8, 64 * MIB, 4 * MIB)
    much = share(64 * GIB, 400 * MIB, 8, "fork", 8, 64 * MIB, 4 * MIB)

    assert little.workers < 8
    assert little.lanes < 8 or little.lane_bytes < 64 * MIB
    assert (much.workers, much.lanes, much.lane_bytes) == (8, 8, 64 * MIB)
    assert much.cache_bytes > 32 * GIB
