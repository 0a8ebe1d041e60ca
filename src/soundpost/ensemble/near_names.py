"""Columns that no label fills, beside labels that they may mean: another case, other marks, or one letter away."""

from collections.abc import Sequence


def near_names(columns: Sequence[str], labels: Sequence[str]) -> list[tuple[str, str]]:
    """(column, label) for every column that a label nearly spells; exact spellings are no matter of this.

    Args:
        columns: those of the submission that no member fills.
        labels: those of the weights that fill no column.
    """
    found = []
    for column in columns:
        plain = _plain(column)
        near = next((label for label in labels if _plain(label) == plain), None)
        near = near or next((label for label in labels if is_one_letter_away(_plain(label), plain)), None)
        if near is not None:
            found.append((column, near))
    return found


def is_one_letter_away(one: str, other: str) -> bool:
    """Whether one letter more, less or changed makes two names the same; names of two letters and fewer never do."""
    short, long = sorted((one, other), key=len)
    if len(short) < 3 or len(long) - len(short) > 1 or short == long:
        return False
    same = next((i for i, (a, b) in enumerate(zip(short, long, strict=False)) if a != b), len(short))
    return short[same:] == long[same + 1 :] or short[same + 1 :] == long[same + 1 :]


def _plain(name: str) -> str:
    """Letters and digits in small case: what is left of a name when spellings are forgotten."""
    return "".join(letter for letter in name.casefold() if letter.isalnum())
