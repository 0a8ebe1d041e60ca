"""How the answers of a submission do against a truth: the metrics of its contest's shape, over the rows both know."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from soundpost.contest.cells import read_cells
from soundpost.errors import SettingsError, ShapeError
from soundpost.evaluation.contest_metrics import macro_roc_auc, row_f1
from soundpost.evaluation.dataset import read_labels
from soundpost.evaluation.metrics import accuracy, lwlrap, lwlrap_of_classes, mean_average_precision

GUESSES = 3  # labels that a ranked row names, and k of its MAP@k
PRESENT = 0.5  # a cell of a truth above this says that the class is there


@dataclass(frozen=True)
class Score:
    """Scores of clips whose labels are known."""

    lwlrap: float
    accuracy: float
    n_clips: int
    n_without: int  # clips of the truth that the submission lacks
    of_labels: Mapping[str, float] = field(default_factory=dict)  # label -> mean precision


def score(
    names: Sequence[str], labels: Sequence[str], answers: np.ndarray, files: Sequence[str], truth: np.ndarray
) -> Score:
    """Scores of answers (clips, labels) against a truth of some of the clips.

    Args:
        names: the clips of the answers.
        labels: in the order of both tables.
        answers: (clips, labels), higher is likelier.
        files: what the truth is about.
        truth: (files, labels), 0 or 1.

    Raises:
        SettingsError: the two have no clip in common.
    """
    rows, there = _common(names, files)
    given, wanted = answers[rows], truth[there]
    precision, _ = lwlrap_of_classes(wanted, given)
    heard = wanted.sum(axis=0) > 0
    of_labels = {label: float(precision[i]) for i, label in enumerate(labels) if heard[i]}
    return Score(lwlrap(wanted, given), accuracy(wanted, given), len(there), len(files) - len(there), of_labels)


def sentence(shape: str, submission: Path, truth: Path) -> str:
    """The scores of a valid submission in one sentence, by the shape of its contest.

    Args:
        shape: a name in soundpost.contest.shapes.
        submission: submission.csv.
        truth: a csv of fname,labels, or one with the submission's own header, whose cells say what is there.

    Raises:
        SettingsError: no row in common, a label that is no column, or a shape without a score here.
    """
    header, *lines = read_cells(submission)
    names, is_alike = [line[0] for line in lines], read_cells(truth)[:1] == [header]
    if shape == "ranked_clips":
        return _ranked(names, [line[1].split() for line in lines], truth)
    if shape == "window_labels" and is_alike:
        return _of_words(names, [" ".join(line[1:]) for line in lines], truth)
    if shape not in ("wide_clips", "wide_windows"):
        raise SettingsError(f"--truth: rows of shape {shape} are not scored by {truth}. Leave it out.")
    answers = np.array([line[1:] for line in lines], np.float64)
    files, table = _cells(truth) if is_alike else read_labels(truth, header[1:], {})
    return _of_cells(shape, names, header[1:], answers, files, table)


def _of_cells(
    shape: str,
    names: Sequence[str],
    labels: Sequence[str],
    answers: np.ndarray,
    files: Sequence[str],
    truth: np.ndarray,
) -> str:
    """Rankings of the rows of each class, where rows are windows, and of the classes of each row that has one."""
    rows, there = _common(names, files)
    told = []
    if shape == "wide_windows":
        try:
            told.append(f"macro ROC-AUC {macro_roc_auc(truth[there], answers[rows]):.4f}")
        except ShapeError:
            told.append("no macro ROC-AUC, as no class has rows with and without it")
    heard = [place for place in there if truth[place].any()]
    if heard:
        found = score(names, labels, answers, [files[place] for place in heard], truth[heard])
        told.append(f"lwlrap {found.lwlrap:.4f}, accuracy {found.accuracy:.4f} over {len(heard):,} rows with a label")
    else:
        told.append("no lwlrap, as no row has a label")
    return ", ".join(told) + _lacking(files, there)


def _of_words(names: Sequence[str], answers: Sequence[str], path: Path) -> str:
    """F1 of the words of each row."""
    _, *lines = read_cells(path)
    files, wanted = [line[0] for line in lines], [" ".join(line[1:]) for line in lines]
    rows, there = _common(names, files)
    found = row_f1([wanted[place] for place in there], [answers[row] for row in rows])
    return f"row-wise F1 {found:.4f} over {len(there):,} rows{_lacking(files, there)}"


def _ranked(names: Sequence[str], guesses: Sequence[Sequence[str]], path: Path) -> str:
    """MAP@3 of labels that stand in the order of their likelihood."""
    labels = sorted({label for row in guesses for label in row})
    files, truth = read_labels(path, labels, {})
    rows, there = _common(names, files)
    scores = np.zeros((len(rows), len(labels)))
    for i, row in enumerate(rows):
        for place, label in enumerate(guesses[row][:GUESSES]):
            scores[i, labels.index(label)] = GUESSES - place
    found = mean_average_precision(truth[there], scores, GUESSES)
    return f"MAP@{GUESSES} {found:.4f} over {len(there):,} clips{_lacking(files, there)}"


def _common(names: Sequence[str], files: Sequence[str]) -> tuple[list[int], list[int]]:
    """Rows of the answers and of the truth that are about the same."""
    row = {name: i for i, name in enumerate(names)}
    there = [i for i, name in enumerate(files) if name in row]
    if not there:
        raise SettingsError(
            f"--truth: none of its rows is in the submission, whose first is {next(iter(names), '')!r} where the "
            f"truth's is {next(iter(files), '')!r}. Give the truth of these clips."
        )
    return [row[files[i]] for i in there], there


def _lacking(files: Sequence[str], there: Sequence[int]) -> str:
    without = len(files) - len(there)
    return f"; {without:,} of the truth are in no row" if without else ""


def _cells(path: Path) -> tuple[tuple[str, ...], np.ndarray]:
    """Names and what is there (rows, columns), of a csv with a column for each class."""
    _, *lines = read_cells(path)
    try:
        values = np.array([line[1:] for line in lines], np.float64)
    except ValueError as error:
        raise SettingsError(f"{path}: {error}. Write 0 or 1 in every cell.") from error
    return tuple(line[0] for line in lines), (values > PRESENT).astype(np.float32)
