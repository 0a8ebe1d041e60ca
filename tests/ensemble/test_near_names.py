"""Columns and labels that nearly meet are named, so that a slip of spelling does not pass for a missing class."""

import pytest

from soundpost.ensemble.near_names import is_one_letter_away, near_names


def test_near_names_spelt_another_way_are_found() -> None:
    """Case, marks between words, one letter; what is another word is not."""
    columns = ["dog_bark", "Fire-crackling", "Sea waves", "Rains", "Helicopter", "Meow"]
    labels = ["Dog_bark", "Fire_crackling", "Sea_waves", "Rain", "Clock_tick"]

    found = near_names(columns, labels)

    assert found == [
        ("dog_bark", "Dog_bark"),
        ("Fire-crackling", "Fire_crackling"),
        ("Sea waves", "Sea_waves"),
        ("Rains", "Rain"),
    ]


@pytest.mark.parametrize(
    ("one", "other", "is_near"),
    [
        ("rain", "rains", True),
        ("rain", "train", True),
        ("rain", "ruin", True),
        ("rain", "rn", False),
        ("rain", "nair", False),
        ("rain", "rain", False),
        ("a", "b", False),
        ("rain", "rainst", False),
    ],
)
def test_one_letter_is_one_letter(one: str, other: str, is_near: bool) -> None:
    """More, less or another one, in either direction."""
    assert is_one_letter_away(one, other) == is_one_letter_away(other, one) == is_near
