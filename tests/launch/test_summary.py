"""The one line of a quiet run: empty where all went well, else whatever went another way, counted."""

from typing import Any

import pytest

from soundpost.launch.summary import summary


def record(engines: int = 1, **ended: Any) -> dict[str, Any]:
    """A record of two passes, the second of which two members share."""
    passes = [{"members": 1, "complete": True}, {"members": 2, "complete": ended.pop("complete", True)}]
    return {"engines": engines, "passes": passes, "ended": {"rows": 5, "passes_planned": 3, **ended}}


def test_run_that_went_well_has_no_line() -> None:
    """Nor do empty lists of what went wrong make one."""
    assert summary(record(silent=[], fallbacks={}, warnings=[]), 0) == ""


@pytest.mark.parametrize(
    ("table", "status", "line"),
    [
        (record(unreadable={"a": "", "b": ""}, silent=["c"]), 0, "of 5 clips 2 unreadable, 1 silent"),
        (record(mended=["a"], missing={"b": ""}), 0, "of 5 clips 1 not in the folder, 1 mended"),
        (record(members_skipped={"x/1": "altered", "x/2": "cut"}), 0, "member skipped: x/1, x/2"),
        (record(devices_lost={"cuda:0": "hangs"}, engines=2), 0, "2 engines started; device lost: cuda:0"),
        (record(fallbacks={"workers died": 1200}), 0, "workers died 1,200"),
        (record(complete=False), 0, "2 of 3 passes not complete"),
        (record(warnings=["a sentence", "another"]), 3, "status 3; 2 about rows and columns, the first: a sentence"),
        ({"engines": 3, "passes": [], "ended": {}}, 1, "status 1; 3 engines started"),
    ],
)
def test_what_went_another_way_is_one_line(table: dict[str, Any], status: int, line: str) -> None:
    """Clips are counted, what is skipped or lost is named, whatever the engine lived to tell."""
    assert summary(table, status) == f"warning: {line}"
