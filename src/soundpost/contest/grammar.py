"""How a row id names a window: the recording, a separator, and the second at which the window ends."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

WINDOW_SECONDS = 5.0  # s, the length of a row in every contest so far, where the sample's own rows do not tell
SHORTEST_REST = 0.5  # s; what is left of a recording behind its whole windows makes one more from here on
END = re.compile(r"^(?P<stem>.+?)(?P<separator>[^0-9A-Za-z.])(?P<end>(?:0|[1-9]\d*)(?:\.\d+)?)$", re.DOTALL)


@dataclass(frozen=True)
class Grammar:
    """The rows of a contest: separator between recording and end, and how long a window is."""

    separator: str = "_"
    window: float = WINDOW_SECONDS  # s

    def row_id(self, stem: str, end: float) -> str:
        """The id of the window of a recording that ends at that second."""
        return f"{stem}{self.separator}{seconds_text(end)}"

    def split(self, row_id: str) -> tuple[str, float] | None:
        """Recording and end of a row; None for an id of another grammar. The last separator counts."""
        stem, separator, end = row_id.rpartition(self.separator)
        if not separator or not stem or not re.fullmatch(r"\d+(\.\d+)?", end):
            return None
        return stem, float(end)

    def count(self, samples: int, rate: int) -> int:
        """How many windows a recording has: whole ones, one more for a rest of half a second, and never none."""
        return count_windows(samples, rate, self.window)


def count_windows(samples: int, rate: int, window: float) -> int:
    """Whole windows, and one more where at least SHORTEST_REST is left; 60.001 s are 12 of 5 s. At least one.

    Args:
        samples: length of the recording.
        rate: Hz.
        window: s.
    """
    full, rest = divmod(samples, round(window * rate))
    return max(1, int(full) + (rest >= SHORTEST_REST * rate))


def learn(row_ids: Sequence[str], window: float = 0.0, separator: str = "") -> Grammar | None:
    """The grammar of a sample's rows; None where they do not all name an end of a window.

    The window is the smallest end, or the smallest step between two ends of one recording, whichever is less.

    Args:
        row_ids: first cells of the sample.
        window: s; what is known about it already, 0 for nothing.
        separator: the same; "" for nothing.
    """
    parts = [match_end(row_id, separator) for row_id in row_ids]
    found = [part for part in parts if part is not None]
    if not found or len(found) < len(parts) or len({part[1] for part in found}) > 1:
        return None
    ends: dict[str, set[float]] = {}
    for stem, _, end in found:
        ends.setdefault(stem, set()).add(end)
    steps = [b - a for some in ends.values() for a, b in zip(sorted(some), sorted(some)[1:], strict=False)]
    step = window or min([*steps, *(min(some) for some in ends.values())])
    if step <= 0 or not all(is_multiple(end, step) for some in ends.values() for end in some):
        return None
    return Grammar(found[0][1], step)


def match_end(row_id: str, separator: str = "") -> tuple[str, str, float] | None:
    """(recording, separator, end) of one row id, split at its last separator; None where no number follows one."""
    if separator:
        parts = Grammar(separator).split(row_id)
        return (parts[0], separator, parts[1]) if parts else None
    last = max((i for i, c in enumerate(row_id) if not (c.isalnum() or c == ".")), default=-1)
    match = END.match(row_id) if last > 0 else None
    if not match or match.end("separator") - 1 != last:
        return None
    return match["stem"], match["separator"], float(match["end"])


def is_multiple(value: float, step: float) -> bool:
    """Whether a second is a whole number of steps, up to a thousandth."""
    return math.isclose(value / step, round(value / step), abs_tol=1e-3)


def seconds_text(seconds: float) -> str:
    """5.0 -> "5", 2.5 -> "2.5"."""
    return f"{seconds:g}" if seconds % 1 else str(int(seconds))


def largest_end(grammar: Grammar, row_ids: Iterable[str]) -> float:
    """The largest end that rows name, s; 0 without rows."""
    return max((parts[1] for row_id in row_ids if (parts := grammar.split(row_id))), default=0.0)
