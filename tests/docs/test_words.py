"""docs/words.md: the words of our own are explained, and none is used without."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "soundpost"

# Words that would send a newcomer to the dictionary of this project: each is explained there, or not used.
OURS = (
    "digest",
    "draft",
    "engine",
    "extent",
    "fold group",
    "front end",
    "gain",
    "gauge",
    "lane",
    "member",
    "pack",
    "pass",
    "prior",
    "recipe",
    "reserve",
    "roster",
    "scratch",
    "session",
    "slot",
    "spill",
    "stage",
    "staging",
    "stray",
    "supervisor",
    "team",
    "tier",
    "toll",
    "transient",
    "unit",
    "view",
    "window",
    "workshop",
)


def defined() -> set[str]:
    """Words in the first column of the table."""
    text = (ROOT / "docs" / "words.md").read_text("utf-8")
    return set(re.findall(r"^\| (?!word \|)([a-z ]+?) \|", text, re.MULTILINE))


def used(words: set[str]) -> set[str]:
    """Those of the words that names, comments or docstrings of the source hold, in the singular or the plural."""
    text = "\n".join(path.read_text("utf-8") for path in sorted(SOURCE.rglob("*.py")))
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).replace("_", " ").lower()
    return {word for word in words if re.search(rf"\b{word}(s|es|ed)?\b", text)}


def test_every_word_that_is_explained_is_used() -> None:
    """A word that went out of use goes from the page, too."""
    assert defined() - used(defined()) == set()


def test_every_word_of_ours_that_is_used_is_explained() -> None:
    """What is none of the field's names has its sentence."""
    assert used(set(OURS)) - defined() == set()


def test_every_word_that_is_explained_is_watched() -> None:
    """The page and the list of words that are looked for name the same ones, but for those that have gone."""
    assert defined() - set(OURS) == set()
