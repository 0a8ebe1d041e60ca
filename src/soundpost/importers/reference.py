"""A person's own answers for some clips, and the waveforms and spectrograms on the way to them, read from a file.

An .npz file holds `clips` (names of files) and `logits` or `probabilities`, (clips, classes) in the order of the
recipe's labels; for any clip also `waveform:NAME` (samples,) and `spectrogram:NAME` (channels, bins, frames) or
(bins, frames). A .csv file holds a column of names and one column for each label, with probabilities or logits.
"""

import csv
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from soundpost.errors import SettingsError


@dataclass(frozen=True)
class Reference:
    """What somebody's own program made of some clips."""

    clips: tuple[str, ...]
    answers: np.ndarray | None  # (clips, classes), float64; None where there are none
    are_logits: bool
    waveforms: Mapping[str, np.ndarray] = field(default_factory=dict)  # by clip
    spectrograms: Mapping[str, np.ndarray] = field(default_factory=dict)  # by clip, (channels, bins, frames)


def read_reference(path: Path, labels: Sequence[str]) -> Reference:
    """The answers in a file.

    Args:
        path: .npz or .csv.
        labels: the recipe's, in its order; columns of a csv file may have any order.

    Raises:
        SettingsError: a file that cannot be read, lacks something, or has other labels or shapes.
    """
    try:
        reference = _table(path, labels) if path.suffix == ".csv" else _arrays(path)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise SettingsError(f"--reference {path}: {error}. Give a .csv, or an .npz that numpy.savez wrote.") from error
    if not reference.clips:
        raise SettingsError(f"--reference {path}: no clip in it. Give one row for each clip.")
    answers = reference.answers
    if answers is not None and answers.shape != (len(reference.clips), len(labels)):
        raise SettingsError(
            f"--reference {path}: answers {answers.shape} for {len(reference.clips)} clips and {len(labels)} labels. "
            "Give (clips, classes) in the order of the labels."
        )
    if answers is not None and not np.isfinite(answers).all():
        raise SettingsError(f"--reference {path}: some answers are not finite. Nothing can be compared with them.")
    return reference


def _table(path: Path, labels: Sequence[str]) -> Reference:
    with path.open(encoding="utf-8-sig", newline="") as file:
        head, *rows = list(csv.reader(file)) or [[]]
    missing = [label for label in labels if label not in head[1:]]
    if missing:
        raise SettingsError(
            f"--reference {path}: no column {', '.join(missing[:3])}; it has {', '.join(head[1:4])}. Name the columns "
            "as the labels."
        )
    columns = [head.index(label, 1) for label in labels]
    for number, row in enumerate(rows, 2):
        if len(row) != len(head):
            raise SettingsError(f"--reference {path}, line {number}: {len(row)} cells, not {len(head)}. Correct it.")
    answers = np.array([[float(row[i]) for i in columns] for row in rows])
    return Reference(tuple(row[0] for row in rows), answers, bool((answers < 0).any() or (answers > 1).any()))


def _arrays(path: Path) -> Reference:
    with np.load(path, allow_pickle=False) as file:
        held = dict(file)
    if "clips" not in held:
        raise SettingsError(f"--reference {path}: no array clips; it has {', '.join(held)}. Save the files' names.")
    are_logits = "logits" in held
    answers = held.get("logits", held.get("probabilities"))

    def each(kind: str) -> dict[str, np.ndarray]:
        return {key.partition(":")[2]: value for key, value in held.items() if key.startswith(f"{kind}:")}

    spectrograms = {name: s[None] if s.ndim == 2 else s for name, s in each("spectrogram").items()}
    waveforms = each("waveform")
    clips = tuple(map(str, held["clips"]))
    stray = sorted((set(waveforms) | set(spectrograms)) - set(clips))
    if stray or (answers is None and not waveforms and not spectrograms):
        wrong = f"{stray[0]} is not among clips" if stray else f"nothing to compare in {', '.join(held)}"
        raise SettingsError(f"--reference {path}: {wrong}. Save logits, waveform:NAME or spectrogram:NAME.")
    found = None if answers is None else np.asarray(answers, np.float64)
    return Reference(clips, found, are_logits, waveforms, spectrograms)
