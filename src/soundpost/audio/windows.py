"""A recording's waveform cut into the windows of its rows, with whatever context a network wants around them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from soundpost.errors import SettingsError

PADDINGS = ("behind", "in_front", "around", "ends_again")
SCOPES = ("window", "recording")
FRAME_RULES = ("", "overlap_average_max")


@dataclass(frozen=True)
class WindowSettings:
    """[windows] of a recipe: what its network hears for each row of a recording."""

    seconds: float = 5.0  # s, the length of a row
    context_seconds: float = 0.0  # s, the length of the window around it, whose middle the row is; 0: the row alone
    scope: str = "window"  # "window": each window's spectrogram alone; "recording": cut from the recording's
    padding: str = "behind"  # what stands where a window reaches beyond the recording, see cut
    frames: str = ""  # how frame-wise answers of overlapping windows become rows; "": answers are the windows' own
    shifts: tuple[float, ...] = (0.0,)  # s, by which all windows are moved, the recording joined to a ring
    shift_weights: tuple[float, ...] = (1.0,)  # what the answers of each shift count

    def __post_init__(self) -> None:
        if self.scope not in SCOPES or self.padding not in PADDINGS or self.frames not in FRAME_RULES:
            raise SettingsError(
                f"[windows] scope '{self.scope}', padding '{self.padding}', frames '{self.frames}'; known scopes: "
                f"{', '.join(SCOPES)}; paddings: {', '.join(PADDINGS)}; frames: {FRAME_RULES[1]}, or empty. Correct it."
            )
        if self.seconds <= 0 or (self.context_seconds and self.context_seconds < self.seconds):
            raise SettingsError(
                f"[windows] seconds {self.seconds:g}, context_seconds {self.context_seconds:g}. Give a length above 0, "
                "and a context at least as long, or 0 for none."
            )
        if not self.shifts or len(self.shifts) != len(self.shift_weights) or min(self.shift_weights) <= 0:
            raise SettingsError(
                f"[windows] {len(self.shifts)} shifts and weights {self.shift_weights}. Give each shift one above 0."
            )
        if self.scope == "recording" and self.shifts != (0.0,):
            raise SettingsError("[windows] shifts move windows one by one. Use them with scope = 'window'.")

    def for_rows(self, seconds: float) -> "WindowSettings":
        """The same for a contest whose rows have so many seconds: what a longer window hears beside them is context."""
        context = max(self.context_seconds, self.seconds)
        return replace(self, seconds=seconds, context_seconds=context if context > seconds else 0.0)

    def row_samples(self, rate: int) -> int:
        """Samples of a row."""
        return round(self.seconds * rate)

    def window_samples(self, rate: int) -> int:
        """Samples of a window: of the row and its context."""
        return round((self.context_seconds or self.seconds) * rate)

    def first_sample(self, row: int, rate: int) -> int:
        """First sample of the window of a row, counted from the recording's start; it may be negative."""
        return row * self.row_samples(rate) - (self.window_samples(rate) - self.row_samples(rate)) // 2


def cut(waveform: np.ndarray, starts: Sequence[int], length: int, padding: str = "behind") -> np.ndarray:
    """Windows of one length from a waveform, whatever it lacks filled up.

    Args:
        waveform: (samples,).
        starts: first sample of each window; it may be negative, or beyond the end.
        length: samples of a window.
        padding: "behind": zeros where the recording is not. "in_front": what there is of a window that reaches
            beyond the end stands at its end, zeros before it. "around": it stands in the middle, an odd zero behind.
            "ends_again": what is missing in front is the recording's own beginning, and likewise at its end.

    Returns:
        (windows, length) float32.
    """
    windows = np.zeros((len(starts), length), np.float32)
    for window, start in zip(windows, starts, strict=True):
        inside = waveform[max(0, start) : max(0, min(len(waveform), start + length))]
        before, after = min(length, max(0, -start)), max(0, start + length - len(waveform))
        if padding == "ends_again" and len(waveform):
            head, tail = waveform[:before], waveform[len(waveform) - min(after, len(waveform)) :]
            joined = np.concatenate([head, inside, tail])[:length]
            window[: len(joined)] = joined
            continue
        place = before
        if padding == "in_front" and start >= 0:
            place = length - len(inside)
        elif padding == "around" and start >= 0:
            place = (length - len(inside)) // 2
        window[place : place + len(inside)] = inside
    return windows


def ring_parts(begin: int, end: int, shift: int, length: int) -> list[tuple[int, int]]:
    """Which samples of a recording that is joined to a ring lie between two places once all have been moved.

    Args:
        begin: first place.
        end: the place behind the last one, at most begin + length.
        shift: by how many samples everything moves to later times; negative to earlier ones.
        length: samples of the ring.

    Returns:
        First sample and end of one part, or of two where the ring's seam lies between them.
    """
    first = (begin - shift) % length
    last = first + max(0, end - begin)
    return [(first, last)] if last <= length else [(first, length), (0, last - length)]


def merged(parts: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same samples in as few parts as possible, the longest first."""
    found: list[tuple[int, int]] = []
    for begin, end in sorted(parts):
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((begin, end))
    return sorted(found, key=lambda part: part[0] - part[1])


@dataclass(frozen=True)
class Samples:
    """Parts of a recording's waveform."""

    parts: Sequence[tuple[int, np.ndarray]]  # first sample of each, and its samples

    def taken(self, begin: int, end: int) -> np.ndarray:
        """(end - begin,) float32, or fewer where the recording ends before; zeros for what no part holds."""
        result, used = np.zeros(end - begin, np.float32), 0
        for first, waveform in self.parts:
            start, stop = max(begin, first), min(end, first + len(waveform))
            if start < stop:
                result[start - begin : stop - begin] = waveform[start - first : stop - first]
                used = max(used, stop - begin)
        return result[:used]

    def joined(self, parts: Sequence[tuple[int, int]]) -> np.ndarray:
        """Several parts one behind the other, each of its full length."""
        result = np.zeros(sum(end - begin for begin, end in parts), np.float32)
        place = 0
        for begin, end in parts:
            found = self.taken(begin, end)
            result[place : place + len(found)] = found
            place += end - begin
        return result
