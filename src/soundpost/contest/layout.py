"""Which windows a run answers, in which stretches of which recordings, and how they become rows of the submission."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from soundpost.contest.contest import Windows
from soundpost.contest.grammar import Grammar
from soundpost.contest.rows import usual_count


@dataclass(frozen=True)
class Stretch:
    """Windows of one recording that follow one another and are worked on together."""

    name: str  # the recording, or what its row calls it where it is not there
    file: str | None
    first: int  # number of its first window in the recording
    answers: tuple[int, ...]  # numbers of its windows' answers, in the order of time
    total: int  # windows that the recording has, whether or not they are answered


@dataclass(frozen=True)
class Layout:
    """Answers are windows, each once; rows of the submission are answers, or the largest of several."""

    n_answers: int
    stretches: tuple[Stretch, ...]
    rows: tuple[tuple[int, ...], ...]  # for each row of the submission, its answers
    recordings: tuple[tuple[str, np.ndarray], ...] = field(compare=False)  # name, and answers in the order of time

    def in_rows(self, table: np.ndarray) -> np.ndarray:
        """(answers, columns) -> (rows, columns): a row of a whole recording takes the largest of its windows."""
        if all(len(answers) == 1 for answers in self.rows):
            return table[[answers[0] for answers in self.rows]]
        return np.stack([table[list(answers)].max(axis=0) for answers in self.rows])


def lay_out(windows: Windows, most: int) -> Layout:
    """The layout of a contest's rows.

    Args:
        windows: rows and recordings of the contest.
        most: how many windows a stretch may have; it ends at the latest where so many of the recording are full.
    """
    grammar = windows.grammar
    by_name = {recording.name: recording for recording in windows.recordings}
    usual = usual_count(windows.recordings, grammar, [row.row_id for row in windows.rows.rows])
    numbers: dict[tuple[str, int], int] = {}
    files: dict[str, str | None] = {}
    counts: dict[str, int] = {}  # windows that each recording has
    rows = []
    for place in windows.places:
        name = place.file or _recording_of(place.row_id, grammar)
        files[name] = place.file
        found = by_name.get(name)
        counts[name] = grammar.count(found.samples, found.rate) if found and found.samples else usual
        if place.end is None:
            wanted = range(counts[name])
        else:
            number = round(place.start / grammar.window)
            wanted = range(number, number + 1)
        rows.append(tuple(numbers.setdefault((name, number), len(numbers)) for number in wanted))
    of_recording: dict[str, list[tuple[int, int]]] = {}
    for (name, number), answer in numbers.items():
        of_recording.setdefault(name, []).append((number, answer))
    stretches, recordings = [], []
    for name, pairs in of_recording.items():
        pairs.sort()
        recordings.append((name, np.array([answer for _, answer in pairs])))
        total = max(counts[name], pairs[-1][0] + 1)
        parts = _parts(pairs, most)
        stretches += [Stretch(name, files[name], n[0], answers, total) for n, answers in parts]
    return Layout(len(numbers), tuple(stretches), tuple(rows), tuple(recordings))


def _parts(pairs: Sequence[tuple[int, int]], most: int) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Runs of windows without a gap, numbers and answers; which window begins a part depends on its number alone."""
    runs: list[list[tuple[int, int]]] = []
    for number, answer in pairs:
        if not runs or number != runs[-1][-1][0] + 1 or number % most == 0:
            runs.append([])
        runs[-1].append((number, answer))
    return [(tuple(number for number, _ in run), tuple(answer for _, answer in run)) for run in runs]


def _recording_of(row_id: str, grammar: Grammar) -> str:
    parts = grammar.split(row_id)
    return parts[0] if parts else row_id
