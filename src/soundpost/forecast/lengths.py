"""Which clips a dry run measures, and how many seconds of audio they are and the hidden ones will be."""

from collections.abc import Sequence

import numpy as np

from soundpost.contest.clips import Clip
from soundpost.contest.recordings import header_length
from soundpost.engine.contest import Contest

MOST_CLIPS = 300  # clips of the folder that are measured, of all lengths alike


def spread(clips: Sequence[Clip]) -> tuple[Clip, ...]:
    """At most MOST_CLIPS clips, evenly taken from the smallest file to the largest."""
    there = sorted((clip for clip in clips if clip.path is not None), key=lambda clip: clip.n_bytes)
    if len(there) <= MOST_CLIPS:
        return tuple(there)
    return tuple(there[round(i)] for i in np.linspace(0, len(there) - 1, MOST_CLIPS))


def lengths(contest: Contest) -> dict[str, float]:
    """Seconds of what is worked on, by name: clips as their headers say, stretches of recordings by their rows."""
    if contest.windows is None:
        return {clip.name: _seconds(clip) for clip in contest.clips}
    each = contest.windows.row_seconds
    pairs = zip(contest.clips, contest.windows.stretches, strict=True)
    return {clip.name: each * len(stretch.answers) for clip, stretch in pairs}


def mean_seconds(contest: Contest) -> float:
    """How long a file is on the average, as far as it is worked on."""
    if contest.windows is None:
        known = [seconds for seconds in lengths(contest).values() if seconds > 0]
        return float(np.mean(known))
    rows = sum(len(stretch.answers) for stretch in contest.windows.layout.stretches if stretch.file)
    return contest.windows.row_seconds * rows / max(1, contest.n_files)


def rows_of_a_file(contest: Contest) -> float:
    """How many rows of the submission a file has, on the average."""
    return 1.0 if contest.windows is None else len(contest.sample.names) / max(1, contest.n_files)


def _seconds(clip: Clip) -> float:
    """How long a clip is, as its header says; 0 when it says nothing."""
    samples, rate = header_length(clip.path) if clip.path else (0, 0)
    return samples / rate if rate else 0.0
