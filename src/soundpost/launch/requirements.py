"""Whether the packages that a kernel needs are there, said in one line; none of them is imported for it."""

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from soundpost.ensemble.recipes import Recipe

OLDEST_PYTHON = (3, 11)
# The oldest that the tests run on; of torch, that of Kaggle's image, whose interface is all that is used.
OLDEST: dict[str, str] = {
    "numpy": "2.0.2",
    "psutil": "5.9.5",
    "safetensors": "0.7.0",
    "soundfile": "0.13.1",
    "soxr": "0.5",
    "torch": "2.10.0",
    "tqdm": "4.67.3",
}


def missing(find: Callable[[str], str] = version, wanted: Mapping[str, str] = OLDEST) -> str:
    """What is not installed and what to do about it, in one line; empty when all is there.

    Args:
        find: version of an installed package by its name.
        wanted: packages and their oldest versions.
    """
    absent = [f"{name} >= {oldest}" for name, oldest in wanted.items() if _found(find, name) is None]
    return (
        f"not installed: {', '.join(absent)}. Install it, or run where it is, as in Kaggle's image." if absent else ""
    )


def outdated(
    find: Callable[[str], str] = version,
    wanted: Mapping[str, str] = OLDEST,
    python: tuple[int, int] = sys.version_info[:2],
) -> str:
    """What is older than anything tested, in one line; empty when nothing is. It may work all the same."""
    found = {name: _found(find, name) for name in wanted}
    old = [f"{name} {has} < {wanted[name]}" for name, has in found.items() if has and _key(has) < _key(wanted[name])]
    if python < OLDEST_PYTHON:
        old.insert(0, f"Python {python[0]}.{python[1]} < {OLDEST_PYTHON[0]}.{OLDEST_PYTHON[1]}")
    return f"older than what is tested: {', '.join(old)}. If the run fails, upgrade." if old else ""


def lacking(recipes: Iterable[Recipe], is_there: Callable[[str], bool] | None = None) -> list[str]:
    """A sentence for each recipe whose network needs a package that is not installed: its members cannot answer.

    Args:
        recipes: the submission's.
        is_there: whether a package can be imported; without one it is looked up and not imported.
    """
    there = is_there or (lambda name: find_spec(name) is not None)
    sentences = []
    for recipe in recipes:
        wanted = ["timm"] if recipe.model.name == "timm" else recipe.model.settings.get("packages", ())
        absent = [name for name in wanted if not there(name)]
        if absent:
            sentences.append(
                f"recipe {recipe.name} needs {', '.join(absent)}, not installed here: its members will not answer. "
                "Install it, or run where it is, as in Kaggle's image"
            )
    return sentences


def _found(find: Callable[[str], str], name: str) -> str | None:
    try:
        return find(name)
    except PackageNotFoundError:
        return None


def _key(text: str) -> tuple[int, ...]:
    """2.10.0+cu128 -> (2, 10, 0); what is no number ends it."""
    match = re.match(r"\d+(\.\d+)*", text)
    return tuple(int(part) for part in match[0].split(".")) if match else ()
