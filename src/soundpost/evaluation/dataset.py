"""Labelled clips as a csv tells of them: files, labels, truth and folds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from soundpost.errors import SettingsError


@dataclass(frozen=True)
class Table:
    """Clips with their labels and folds, in the order of the csv."""

    files: tuple[str, ...]
    labels: tuple[str, ...]  # of all clips, sorted: the order of the network's outputs
    truth: np.ndarray  # (clips, classes) float32, 0 or 1
    folds: tuple[str, ...]  # one per clip

    @property
    def fold_names(self) -> tuple[str, ...]:
        """The folds that there are, sorted."""
        return tuple(sorted(set(self.folds)))


def read_table(path: Path, make_folds: int | None, seed: int) -> Table:
    """Clips of a csv with fname, labels (comma separated) and, if folds are not to be made, fold.

    Args:
        path: the csv; FSDKaggle2019's train_curated.csv is one.
        make_folds: how many folds to deal the clips into; None takes the csv's own.
        seed: of the dealing.

    Raises:
        SettingsError: a column is missing.
    """
    csv = pd.read_csv(path, dtype=str, keep_default_na=False)
    needed = {"fname", "labels"} if make_folds else {"fname", "labels", "fold"}
    missing = sorted(needed - set(csv.columns))
    if missing:
        raise SettingsError(f"{path}: no column {', '.join(missing)}. Add it; without folds give --folds.")
    several = [row.split(",") for row in csv["labels"]]
    labels = tuple(sorted({label for row in several for label in row}))
    truth = np.zeros((len(several), len(labels)), np.float32)
    for clip, row in enumerate(several):
        truth[clip, [labels.index(label) for label in row]] = 1
    folds = deal(truth, make_folds, seed) if make_folds else tuple(csv["fold"])
    return Table(tuple(csv["fname"]), labels, truth, folds)


def read_labels(path: Path, labels: Sequence[str], aliases: Mapping[str, str]) -> tuple[tuple[str, ...], np.ndarray]:
    """File names and truth (clips, classes) of a csv with fname and labels, in the given order of classes.

    Args:
        path: the csv.
        labels: in the order of the classes.
        aliases: label -> the other name that the csv may use for it.

    Raises:
        SettingsError: a column is missing, or a label is none of the given.
    """
    csv = pd.read_csv(path, dtype=str, keep_default_na=False)
    if missing := sorted({"fname", "labels"} - set(csv.columns)):
        raise SettingsError(f"{path}: no column {', '.join(missing)}. Add it.")
    own = {alias: label for label, alias in aliases.items()}
    several = [[own.get(label, label) for label in row.split(",")] for row in csv["labels"]]
    if strange := sorted({label for row in several for label in row} - set(labels)):
        raise SettingsError(f"{path}: labels {', '.join(strange)}; known: {', '.join(labels)}. Correct them.")
    return tuple(csv["fname"]), np.array([[label in row for label in labels] for row in several], np.float32)


def deal(truth: np.ndarray, n_folds: int, seed: int) -> tuple[str, ...]:
    """Folds that share every label set out evenly: clips shuffled, sorted by rarest label, dealt like cards."""
    order = np.random.default_rng(seed).permutation(len(truth))
    rarest = np.where(truth > 0, truth.sum(0), np.inf).argmin(1)
    dealt = order[np.argsort(rarest[order], kind="stable")]
    folds = np.empty(len(truth), int)
    folds[dealt] = np.arange(len(truth)) % n_folds
    return tuple(str(fold + 1) for fold in folds)
