"""Scores by which published trainings chose an epoch, a clip or a model; soundpost.evaluation.metrics has the rest."""

import numpy as np

from soundpost.errors import SettingsError
from soundpost.evaluation.metrics import accuracy, lwlrap, mean_average_precision

MEASURES = ("lwlrap", "lrap", "accuracy", "map3", "mean_batch_lwlrap")


def measured(name: str, truth: np.ndarray, scores: np.ndarray, batch: int = 200) -> float:
    """One of MEASURES of (clips, classes) tables, higher is better.

    Raises:
        SettingsError: another name.
    """
    if name == "lwlrap":
        return lwlrap(truth, scores)
    if name == "lrap":
        return lrap(truth, scores)
    if name == "accuracy":
        return accuracy(truth, scores)
    if name == "map3":
        return mean_average_precision(truth, scores, 3)
    if name == "mean_batch_lwlrap":
        return mean_of_batches(truth, scores, batch)
    raise SettingsError(f"[validation] measure '{name}'; known: {', '.join(MEASURES)}. Correct it.")


def precision_of_clips(truth: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Label-ranking average precision of each clip, (clips,); tied classes share the worst rank among them.

    A clip with no label, or with all, counts as 1; as sklearn.metrics.label_ranking_average_precision_score has it.

    Args:
        truth: (clips, classes), nonzero where the clip has the label.
        scores: (clips, classes), higher is likelier.
    """
    truth, scores = np.asarray(truth) != 0, np.asarray(scores, np.float64)
    found = np.ones(len(truth))
    for clip, (positive, row) in enumerate(zip(truth, scores, strict=True)):
        if 0 < positive.sum() < len(positive):
            above = row[None, :] >= row[positive][:, None]
            found[clip] = (above[:, positive].sum(1) / above.sum(1)).mean()
    return found


def lrap(truth: np.ndarray, scores: np.ndarray) -> float:
    """Label-ranking average precision, mean over clips without weights.

    Source: systems specification of qrfaction.
    """
    return float(precision_of_clips(truth, scores).mean())


def mean_of_batches(truth: np.ndarray, scores: np.ndarray, batch: int) -> float:
    """Mean over batches of clips in order of each batch's lwlrap, weighed by its clips.

    Source: systems specification of simongrest, fastai v1.
    """
    parts = [slice(begin, begin + batch) for begin in range(0, len(truth), batch)]
    return float(
        np.average([lwlrap(truth[part], scores[part]) for part in parts], weights=[len(truth[p]) for p in parts])
    )


def order_of_clips(precision: np.ndarray, best_first: bool, digits: int = 9) -> np.ndarray:
    """Rows from worst to best clip or the other way round; those that agree to so many decimals keep their order.

    Source: systems specification of argus, whose authors listened again to the worst of the curated clips.
    """
    rounded = np.round(precision, digits)
    return np.argsort(-rounded if best_first else rounded, kind="stable")
