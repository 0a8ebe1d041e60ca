"""The pages: tests that tables name are there, links lead somewhere, and the list of files is up to date."""

import re
import subprocess
import sys
import tomllib
from datetime import date
from pathlib import Path

import pytest

HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
TESTS = Path(__file__).resolve().parents[1]
ROOT = TESTS.parent


def test_page_of_failures_names_tests_that_exist() -> None:
    """A row whose test was renamed or dropped is found here; no failure or injury is without one."""
    sources = "".join(path.read_text("utf-8") for path in TESTS.rglob("test_*.py"))
    defined = set(re.findall(r"^def (test_\w+)", sources, re.MULTILINE))
    text = (ROOT / "docs" / "failures.md").read_text("utf-8")
    rows = [line for line in text.splitlines() if line.startswith("|") and not line.startswith(("|---", "| --"))]

    named = [set(re.findall(r"`(test_\w+)`", row)) for row in rows if "shown by" not in row and "| test |" not in row]

    assert len(named) > 25
    assert all(named)
    assert set().union(*named) - defined == set()


PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page_links_lead_somewhere(page: Path) -> None:
    """Files that are linked are there, and so are the headings that the contents name."""
    text = page.read_text("utf-8")
    headings = {re.sub(r"[^\w -]", "", head).strip(" ").lower().replace(" ", "-") for head in HEADING.findall(text)}

    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("#"):
            assert target[1:].strip("-") in {heading.strip("-") for heading in headings}, target
        elif "://" not in target:
            assert (page.parent / target.partition("#")[0]).exists(), target


def test_readme_is_short_and_its_contents_name_every_chapter() -> None:
    """About a hundred lines, and one line near the top that leads to each chapter in its order."""
    text = (ROOT / "README.md").read_text("utf-8")
    contents = next(line for line in text.splitlines() if line.startswith("["))

    assert len(text.splitlines()) <= 130
    assert re.findall(r"\[([^\]]+)\]\(#", contents) == re.findall(r"^## (.+)$", text, re.MULTILINE)


def test_readme_names_every_page() -> None:
    """No page of docs is left to be found by chance."""
    text = (ROOT / "README.md").read_text("utf-8")
    linked = {target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text)}

    assert {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")} - linked == set()


def test_changelog_has_a_date_in_every_heading_newest_first() -> None:
    """A version, or what is not released yet, and a day of the calendar; today's version has its heading."""
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)

    dated = [re.fullmatch(r"(Unreleased|\d+\.\d+\.\d+), (\d{4}-\d{2}-\d{2})", heading) for heading in headings]

    assert all(dated), headings
    days = [date.fromisoformat(found[2]) for found in dated if found]
    assert days == sorted(days, reverse=True)
    names = [found[1] for found in dated if found]
    assert len(names) == len(set(names))
    assert "Unreleased" not in names[1:]
    assert tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"] in names


def test_list_of_files_is_that_of_the_tree() -> None:
    """docs/files.md holds every source file with the first paragraph of its docstring."""
    command = [sys.executable, str(ROOT / "docs" / "list_files.py"), "--check"]

    result = subprocess.run(command, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stdout
