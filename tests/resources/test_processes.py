"""How old a process is, to a fraction of a second, whatever the clock on the wall was set to meanwhile."""

import os
import time
from pathlib import Path

import pytest

from soundpost.resources.processes import age_seconds


def test_age_counts_from_the_start_of_the_process(tmp_path: Path) -> None:
    """The kernel counts ticks since the boot; a name with spaces and brackets stands before them."""
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    fields = ["S", *["0"] * 18, str(int((now - 7.0) * os.sysconf("SC_CLK_TCK"))), "0"]
    (tmp_path / "stat").write_text(f"12 (a ) 3 name) {' '.join(fields)}\n")

    assert age_seconds(tmp_path) == pytest.approx(7.0, abs=0.5)


def test_age_of_this_process_grows_with_the_clock() -> None:
    """Between two looks it grows by what the clock says, within a tick."""
    first, began = age_seconds(), time.monotonic()
    time.sleep(0.05)
    second, passed = age_seconds(), time.monotonic() - began

    assert first is not None
    assert second is not None
    assert second - first == pytest.approx(passed, abs=0.02)


@pytest.mark.parametrize("content", [None, "", "12 (python) S 1 2"])
def test_age_that_the_kernel_does_not_tell_is_none(tmp_path: Path, content: str | None) -> None:
    """The run then counts from its own first line."""
    if content is not None:
        (tmp_path / "stat").write_text(content)

    assert age_seconds(tmp_path) is None
