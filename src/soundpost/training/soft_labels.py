"""Labels that are more or less likely, and clips that are stretches of files, as `soundpost pseudo-label` writes them.

Its csv has, beside fname and labels, the columns scores (one probability for each label, commas between) and, where
rows are stretches, start and end in seconds.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd

from soundpost.errors import SettingsError
from soundpost.evaluation.dataset import truth_of

T = TypeVar("T")


def read_extras(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    """A csv's table with columns likely (probabilities or None) and stretch (begin and length or None).

    Raises:
        SettingsError: scores that do not go with the labels, or times that are none; the line is named.
    """
    likely: list[tuple[float, ...] | None] = [None] * len(frame)
    stretch: list[tuple[float, float] | None] = [None] * len(frame)
    if "scores" in frame:
        likely = [*_each(path, list(zip(frame["labels"], frame["scores"], strict=True)), _likely)]
    if {"start", "end"} <= set(frame):
        stretch = [*_each(path, list(zip(frame["start"], frame["end"], strict=True)), _stretch)]
    return frame.assign(likely=pd.Series(likely, frame.index, object), stretch=pd.Series(stretch, frame.index, object))


def soft_truth(
    labels_of_clips: Sequence[str], labels: Sequence[str], likely: Sequence[tuple[float, ...] | None]
) -> np.ndarray:
    """(clips, classes) float32: the probability of each label where it is known, else 1; 0 elsewhere."""
    truth = truth_of(labels_of_clips, labels)
    numbers = {label: number for number, label in enumerate(labels)}
    for clip, (row, scores) in enumerate(zip(labels_of_clips, likely, strict=True)):
        if scores is not None:
            truth[clip, [numbers[label] for label in row.split(",")]] = scores
    return truth


def _each(path: Path, pairs: Sequence[tuple[str, str]], read: Callable[[str, str], T]) -> list[T]:
    found = []
    for number, (first, second) in enumerate(pairs):
        try:
            found.append(read(first, second))
        except ValueError as error:
            raise SettingsError(f"{path}, line {number + 2}: {error}") from error
    return found


def _likely(labels: str, scores: str) -> tuple[float, ...]:
    found = tuple(float(score) for score in scores.split(","))
    if len(found) != labels.count(",") + 1 or not all(0 < score <= 1 for score in found):
        raise ValueError(f"scores {scores} for labels {labels}. Give one for each, above 0 and up to 1.")
    return found


def _stretch(start: str, end: str) -> tuple[float, float] | None:
    begin = float(start or 0.0)
    if not end and not begin:
        return None
    if not end:
        raise ValueError(f"from {start} s to no end is no stretch. Give an end in seconds.")
    last = float(end)
    if not 0 <= begin < last < float("inf"):
        raise ValueError(f"from {start} to {end} s is no stretch. Give seconds.")
    return begin, last - begin
