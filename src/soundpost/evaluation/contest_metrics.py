"""Scores of contests whose rows are windows: macro ROC-AUC, padded cmAP, row-wise F1 and the score of 2022."""

from collections.abc import Sequence

import numpy as np

from soundpost.errors import ShapeError

PADDING = 5  # rows of ones that BirdCLEF 2023 added to truth and answer


def macro_roc_auc(truth: np.ndarray, scores: np.ndarray) -> float:
    """Mean area under the ROC curve over the classes that have rows of both kinds.

    Args:
        truth: (rows, classes), nonzero where the class is there.
        scores: (rows, classes), higher is likelier; ties count one half.

    Raises:
        ShapeError: the tables differ in shape, or no class has rows with and without it.

    Source: BirdCLEF 2024 to 2026.
    """
    areas = roc_auc_of_classes(truth, scores)
    if np.isnan(areas).all():
        raise ShapeError(f"none of {len(areas)} classes has rows with and without it. Give a truth with both.")
    return float(np.nanmean(areas))


def roc_auc_of_classes(truth: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(classes,): the area under each class's ROC curve; not a number where all rows are of one kind."""
    truth, scores = _tables(truth, scores)
    areas = np.full(truth.shape[1], np.nan)
    for column in range(truth.shape[1]):
        positive = truth[:, column]
        n_positive, n_negative = int(positive.sum()), int((~positive).sum())
        if n_positive and n_negative:
            _, place, counts = np.unique(scores[:, column], return_inverse=True, return_counts=True)
            ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
            areas[column] = (ranks[positive].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative)
    return areas


def padded_cmap(truth: np.ndarray, scores: np.ndarray, padding: int = PADDING) -> float:
    """Macro average precision over all classes, after rows of ones are added to truth and scores.

    Args:
        truth: (rows, classes), nonzero where the class is there.
        scores: (rows, classes), in [0, 1].
        padding: rows of ones.

    Source: BirdCLEF 2023.
    """
    return float(padded_precision_of_classes(truth, scores, padding).mean())


def padded_precision_of_classes(truth: np.ndarray, scores: np.ndarray, padding: int = PADDING) -> np.ndarray:
    """(classes,): average precision over distinct thresholds, with `padding` rows of ones."""
    truth, scores = _tables(truth, scores)
    ones = np.ones((padding, truth.shape[1]))
    truth, scores = np.concatenate([truth, ones > 0]), np.concatenate([scores, ones])
    return np.array([_average_precision(t, s) for t, s in zip(truth.T, scores.T, strict=True)])


def row_f1(truth: Sequence[str], answers: Sequence[str]) -> float:
    """Mean over rows of the F1 of two sets of words; nocall is a word like any other.

    Args:
        truth: for each row, labels with spaces between.
        answers: the same.

    Raises:
        ShapeError: not equally many rows, or none.

    Source: Cornell Birdcall Identification 2020 and BirdCLEF 2021 ("row-wise micro averaged F1").
    """
    return float(np.mean(f1_of_rows(truth, answers)))


def f1_of_rows(truth: Sequence[str], answers: Sequence[str]) -> list[float]:
    """2 |common| / (|truth| + |answer|) of each row."""
    if len(truth) != len(answers) or not truth:
        raise ShapeError(f"{len(truth)} rows of truth and {len(answers)} of answers. Give equally many, at least one.")
    pairs = [(set(t.split()), set(a.split())) for t, a in zip(truth, answers, strict=True)]
    return [2 * len(t & a) / max(1, len(t) + len(a)) for t, a in pairs]


def weighted_accuracy(truth: np.ndarray, answers: np.ndarray) -> float:
    """Mean over classes of the balanced accuracy: of the recall of true rows and that of false rows, the mean.

    Args:
        truth: (rows, classes), nonzero where the class is there.
        answers: (rows, classes), nonzero where the answer is True.

    Source: BirdCLEF 2022.
    """
    return float(accuracy_of_classes(truth, answers).mean())


def accuracy_of_classes(truth: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """(classes,): balanced accuracy of each; a class with rows of one kind only has the recall of that kind."""
    truth, found = _tables(truth, answers)
    answer = found != 0
    right = np.stack([(truth & answer).sum(axis=0), (~truth & ~answer).sum(axis=0)]).astype(np.float64)
    rows = np.stack([truth.sum(axis=0), (~truth).sum(axis=0)])
    return (right / np.maximum(rows, 1)).sum(axis=0) / (rows > 0).sum(axis=0)


def _average_precision(truth: np.ndarray, scores: np.ndarray) -> float:
    """Sum over distinct thresholds, the highest first, of precision times the gain in recall."""
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))  # the last row of each threshold
    hits = np.cumsum(truth[order])[last]
    return float((np.diff(hits, prepend=0) * hits / (last + 1)).sum() / max(1, truth.sum()))


def _tables(truth: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    truth, scores = np.asarray(truth) != 0, np.asarray(scores, dtype=np.float64)
    if truth.ndim != 2 or truth.shape != scores.shape or not len(truth):
        raise ShapeError(f"truth {truth.shape} and scores {scores.shape} differ. Give (rows, classes) for both.")
    return truth, scores
