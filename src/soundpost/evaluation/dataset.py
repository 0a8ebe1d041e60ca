"""Labelled clips as a csv tells of them: files, labels, truth and folds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from soundpost.contest.recordings import header_length, lengths_of
from soundpost.errors import SettingsError

SHOWN = 3  # lines, labels or files that a message names before it counts the rest


@dataclass(frozen=True)
class Table:
    """Clips with their labels and folds, in the order of the csv."""

    files: tuple[str, ...]
    labels: tuple[str, ...]  # every label of any clip, sorted: the order of the network's outputs
    truth: np.ndarray  # (clips, classes) float32, 0 or 1
    folds: tuple[str, ...]  # one per clip

    @property
    def fold_names(self) -> tuple[str, ...]:
        """The folds that there are, sorted."""
        return tuple(sorted(set(self.folds) - {""}))

    def summary(self, paths: Sequence[Path]) -> str:
        """One line: clips, classes, folds, seconds as the headers say them, and the rarest classes.

        Args:
            paths: where the clips lie.
        """
        counts = self.truth.sum(0)
        rarest = ", ".join(f"{self.labels[number]} {int(counts[number])}" for number in counts.argsort()[:SHOWN])
        folds = f"folds {', '.join(self.fold_names)}" if self.fold_names else "no folds"
        seconds = seconds_in(paths)
        return f"{len(self.files)} clips, {len(self.labels)} classes, {folds}, {seconds}; rarest: {rarest}"


def seconds_in(paths: Sequence[Path]) -> str:
    """How much audio some files hold, as their headers say, and how many say nothing."""
    seconds = [samples / rate if rate else 0.0 for samples, rate in lengths_of(paths, header_length)]
    unknown = seconds.count(0.0)
    return f"{sum(seconds):,.0f} s" + (f" ({unknown} of them of no known length)" if unknown else "")


def read_frame(path: Path, has_stretches: bool = False) -> pd.DataFrame:
    """A csv with columns fname and labels, checked: nothing empty, nothing twice, labels stripped.

    Args:
        path: the csv.
        has_stretches: a file may stand there again with other values in the columns start and end.

    Raises:
        SettingsError: the file, a column or a value is missing, or a clip stands there twice; lines are named.
    """
    try:
        csv = pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError as error:
        raise SettingsError(f"{path}: no such file. Give the csv of the clips.") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: not UTF-8 ({error.reason}). Save it as UTF-8.") from error
    except (pd.errors.EmptyDataError, pd.errors.ParserError) as error:
        raise SettingsError(f"{path}: no table ({error}). Give a csv with fname and labels.") from error
    if missing := sorted({"fname", "labels"} - set(csv.columns)):
        raise SettingsError(f"{path}: no column {', '.join(missing)}. Add it.")
    if csv.empty:
        raise SettingsError(f"{path}: no clip in it. Give a line for every clip.")
    csv = csv.assign(
        fname=csv["fname"].str.strip(),
        labels=[",".join(label.strip() for label in row.split(",")) for row in csv["labels"]],
    )
    _refuse(path, csv["fname"] == "", "no file name", "Name the clip.")
    is_odd = [not all(label and label.strip("[]'\"") == label for label in row.split(",")) for row in csv["labels"]]
    _refuse(path, pd.Series(is_odd), "an empty or quoted label", "Write labels as Bark,Rain.")
    repeated = [len(set(row.split(","))) < row.count(",") + 1 for row in csv["labels"]]
    _refuse(path, pd.Series(repeated), "a label twice", "Write it once.")
    named = [name for name in ("fname", "start", "end") if name in csv] if has_stretches else ["fname"]
    _refuse(path, csv.duplicated(named), "a clip that stood in a line before", "Give every clip one line.")
    if "fold" in csv:
        csv = csv.assign(fold=csv["fold"].str.strip())
        _refuse(path, csv["fold"] == "", "no fold", "Fill the column, or leave it out.")
    return csv


def _refuse(path: Path, is_wrong: pd.Series, what: str, then: str) -> None:
    lines = [int(row) + 2 for row in np.flatnonzero(is_wrong.to_numpy())]  # the header is line 1
    if lines:
        named = ", ".join(map(str, lines[:SHOWN])) + (f" and {len(lines) - SHOWN} more" if len(lines) > SHOWN else "")
        raise SettingsError(f"{path}, line {named}: {what}. {then}")


def truth_of(labels_of_clips: Sequence[str], labels: Sequence[str]) -> np.ndarray:
    """(clips, classes) float32 of labels separated by commas."""
    numbers = {label: number for number, label in enumerate(labels)}
    truth = np.zeros((len(labels_of_clips), len(labels)), np.float32)
    for clip, row in enumerate(labels_of_clips):
        truth[clip, [numbers[label] for label in row.split(",")]] = 1
    return truth


def labels_in(labels_of_clips: Sequence[str]) -> tuple[str, ...]:
    """All labels, sorted."""
    return tuple(sorted({label for row in labels_of_clips for label in row.split(",")}))


def read_table(path: Path, make_folds: int | None, seed: int) -> Table:
    """Clips of a csv with fname, labels (comma separated) and, if folds are not to be made, fold.

    Args:
        path: the csv; FSDKaggle2019's train_curated.csv is one.
        make_folds: how many folds to deal the clips into; None takes the csv's own.
        seed: decides how clips are dealt to folds.

    Raises:
        SettingsError: as read_frame; or there is no column fold and no folds are to be made.
    """
    csv = read_frame(path)
    if make_folds is None and "fold" not in csv:
        raise SettingsError(f"{path}: no column fold. Add it; without folds give --folds.")
    labels = labels_in(list(csv["labels"]))
    truth = truth_of(list(csv["labels"]), labels)
    folds = deal(truth, make_folds, seed) if make_folds else tuple(csv["fold"])
    return Table(tuple(csv["fname"]), labels, truth, folds)


def read_labels(path: Path, labels: Sequence[str], aliases: Mapping[str, str]) -> tuple[tuple[str, ...], np.ndarray]:
    """File names and truth (clips, classes) of a csv with fname and labels, in the given order of classes.

    Args:
        path: the csv.
        labels: in the order of the classes.
        aliases: label -> the other name that the csv may use for it.

    Raises:
        SettingsError: as read_frame, or a label is none of the given.
    """
    csv = read_frame(path)
    own = {alias: label for label, alias in aliases.items()}
    several = [[own.get(label, label) for label in row.split(",")] for row in csv["labels"]]
    if strange := sorted({label for row in several for label in row} - set(labels)):
        raise SettingsError(f"{path}: labels {', '.join(strange)}; known: {', '.join(labels)}. Correct them.")
    return tuple(csv["fname"]), np.array([[label in row for label in labels] for row in several], np.float32)


def deal(truth: np.ndarray, n_folds: int, seed: int) -> tuple[str, ...]:
    """Folds that share every label set out evenly: clips shuffled, sorted by rarest label, dealt like cards.

    Args:
        truth: (clips, classes).
        n_folds: how many.
        seed: decides how clips are shuffled.

    Returns:
        The fold of each clip, "1", "2", ...
    """
    order = np.random.default_rng(seed).permutation(len(truth))
    rarest = np.where(truth > 0, truth.sum(0), np.inf).argmin(1)
    dealt = order[np.argsort(rarest[order], kind="stable")]
    folds = np.empty(len(truth), int)
    folds[dealt] = np.arange(len(truth)) % n_folds
    return tuple(str(fold + 1) for fold in folds)


def missing_files(folder: Path, files: Sequence[str]) -> None:
    """Refuse a table whose clips are not all there.

    Raises:
        SettingsError: clips that are not in the folder, counted, the first named.
    """
    absent = [file for file in files if not (folder / file).is_file()]
    if absent:
        more = f" and {len(absent) - SHOWN} more" if len(absent) > SHOWN else ""
        raise SettingsError(
            f"{folder}: {len(absent)} of {len(files)} clips are not there: {', '.join(absent[:SHOWN])}{more}. "
            "Name the folder that holds them, or take their lines out of the csv."
        )
