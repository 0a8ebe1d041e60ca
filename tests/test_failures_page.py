"""docs/failures.md: every test that it names is there."""

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parent
PAGE = TESTS.parent / "docs" / "failures.md"


def test_page_of_failures_names_tests_that_exist() -> None:
    """A row whose test was renamed or dropped is found here; no row is without one."""
    sources = "".join(path.read_text("utf-8") for path in TESTS.rglob("test_*.py"))
    defined = set(re.findall(r"^def (test_\w+)", sources, re.MULTILINE))
    rows = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| **")]

    named = [set(re.findall(r"`(test_\w+)`", row)) for row in rows]

    assert len(rows) > 10
    assert all(named)
    assert set().union(*named) - defined == set()
