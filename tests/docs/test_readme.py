"""README.md: the tests that its tables name are there, and the list of files that it points to is up to date."""

import re
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
ROOT = TESTS.parent


def test_readme_names_tests_that_exist() -> None:
    """A row whose test was renamed or dropped is found here; no failure or injury is without one."""
    sources = "".join(path.read_text("utf-8") for path in TESTS.rglob("test_*.py"))
    defined = set(re.findall(r"^def (test_\w+)", sources, re.MULTILINE))
    text = (ROOT / "README.md").read_text("utf-8")
    section = text.partition("## What goes wrong")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|") and not line.startswith(("|---", "| --"))]

    named = [set(re.findall(r"`(test_\w+)`", row)) for row in rows if "shown by" not in row and "| test |" not in row]

    assert len(named) > 25
    assert all(named)
    assert set().union(*named) - defined == set()


def test_list_of_files_is_that_of_the_tree() -> None:
    """docs/files.md holds every source file with the first paragraph of its docstring."""
    command = [sys.executable, str(ROOT / "docs" / "list_files.py"), "--check"]

    result = subprocess.run(command, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stdout
