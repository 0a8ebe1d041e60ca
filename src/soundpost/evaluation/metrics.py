"""Scores of a table of probabilities against the truth: lwlrap, accuracy, top-k error, MAP@k."""

import numpy as np

from soundpost.errors import ShapeError


def lwlrap(truth: np.ndarray, scores: np.ndarray) -> float:
    """Label-weighted label-ranking average precision, in [0, 1]: every positive label of every clip counts the same.

    Args:
        truth: (clips, classes), nonzero where the clip has the label.
        scores: (clips, classes), higher is likelier; tied classes share the worst rank among them.

    Raises:
        ShapeError: the tables differ in shape, or no clip has a label.

    Source: DCASE 2019 task 2 (FSDKaggle2019), with ties as in sklearn's label_ranking_average_precision_score.
    """
    truth, scores = _tables(truth, scores)
    total = 0.0
    for positive, row in zip(truth, scores, strict=True):
        # How many classes, and how many true ones, score at least as high as each true class.
        above = row[None, :] >= row[positive][:, None]
        total += float((above[:, positive].sum(1) / above.sum(1)).sum())
    return total / int(truth.sum())


def lwlrap_of_classes(truth: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean precision of each class over the clips that have it, and its share of all labels; lwlrap is their product.

    Args:
        truth: as lwlrap's.
        scores: as lwlrap's.

    Returns:
        (classes,) precision, 0 for a class that no clip has; (classes,) share, summing to 1.
    """
    truth, scores = _tables(truth, scores)
    precision = np.zeros(truth.shape[1])
    for positive, row in zip(truth, scores, strict=True):
        above = row[None, :] >= row[positive][:, None]
        precision[positive] += above[:, positive].sum(1) / above.sum(1)
    counts = truth.sum(0)
    return precision / counts.clip(min=1), counts / counts.sum()


def accuracy(truth: np.ndarray, scores: np.ndarray) -> float:
    """Fraction of clips whose highest score is one of their labels; (clips, classes) each; ties go to the first."""
    truth, scores = _tables(truth, scores)
    return float(truth[np.arange(len(truth)), scores.argmax(1)].mean())


def top_k_error(truth: np.ndarray, scores: np.ndarray, k: int) -> float:
    """Fraction of clips with none of their labels among the k highest scores; (clips, classes) each."""
    truth, scores = _tables(truth, scores)
    return float(1 - np.take_along_axis(truth, _highest(scores, k), axis=1).any(1).mean())


def mean_average_precision(truth: np.ndarray, scores: np.ndarray, k: int) -> float:
    """MAP@k, in [0, 1]: precision at each hit among the k highest scores, over min(k, labels), mean over clips.

    Args:
        truth: (clips, classes), nonzero where the clip has the label; clips without a label count as zero.
        scores: (clips, classes), higher is likelier.
        k: how many guesses a clip has.

    Source: the metric of Freesound General-Purpose Audio Tagging 2018 (MAP@3).
    """
    truth, scores = _tables(truth, scores)
    hits = np.take_along_axis(truth, _highest(scores, k), axis=1)
    precision = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    possible = np.minimum(truth.sum(1), hits.shape[1]).clip(min=1)
    return float(((precision * hits).sum(1) / possible).mean())


def _highest(scores: np.ndarray, k: int) -> np.ndarray:
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


def _tables(truth: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    truth, scores = np.asarray(truth) != 0, np.asarray(scores, dtype=np.float64)
    if truth.ndim != 2 or truth.shape != scores.shape:
        raise ShapeError(f"truth {truth.shape} and scores {scores.shape} differ. Give (clips, classes) for both.")
    if not truth.any():
        raise ShapeError(f"none of the {len(truth)} clips has a label. Give a truth with at least one positive.")
    return truth, scores
