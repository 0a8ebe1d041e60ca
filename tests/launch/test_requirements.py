"""The check of packages at the start: one line, nothing imported."""

import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from soundpost.kernel.dependencies import RUNTIME
from soundpost.launch.requirements import OLDEST, missing, outdated

ROOT = Path(__file__).resolve().parents[2]


def _finder(**installed: str) -> Callable[[str], str]:
    def find(name: str) -> str:
        if name not in installed:
            raise PackageNotFoundError(name)
        return installed[name]

    return find


def test_versions_of_this_environment_are_enough() -> None:
    """What the tests run on is what the kit asks for."""
    assert (missing(), outdated()) == ("", "")


def test_missing_packages_stand_in_one_line() -> None:
    """Every absent package is named at once, with the version to get."""
    line = missing(_finder(numpy="2.0.2"), {"numpy": "2.0.2", "soxr": "0.5", "tqdm": "4.67.3"})

    assert line == "not installed: soxr >= 0.5, tqdm >= 4.67.3. Install it, or run where it is, as in Kaggle's image."


@pytest.mark.parametrize(
    ("has", "oldest", "is_old"),
    [("2.0.2", "2.0.2", False), ("2.10.0+cu128", "2.9", False), ("2.9.1", "2.10.0", True), ("1.26.4", "2.0.2", True)],
)
def test_outdated_compares_numbers_and_not_letters(has: str, oldest: str, is_old: bool) -> None:
    """2.10 is newer than 2.9, and what follows a plus does not count."""
    line = outdated(_finder(torch=has), {"torch": oldest})

    assert (f"torch {has} < {oldest}" in line) == is_old


def test_outdated_python_is_named() -> None:
    """The interpreter is a part of it."""
    assert outdated(_finder(), {}, (3, 10)).startswith("older than what is tested: Python 3.10 < 3.11")


def test_versions_only_ask_for_what_a_kernel_may_use() -> None:
    """The list and the bundler's agree."""
    assert set(OLDEST) <= set(RUNTIME)


def test_versions_are_checked_without_importing_anything_heavy() -> None:
    """The check itself needs the standard library alone, so that it can speak before an import fails."""
    code = "import sys, soundpost.launch.requirements as r; print([m for m in ('torch', 'numpy') if m in sys.modules])"

    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT / "src", capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
