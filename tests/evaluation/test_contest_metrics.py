"""Scores of contests whose rows are windows, against scikit-learn and against examples worked by hand."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, balanced_accuracy_score, roc_auc_score

from soundpost.errors import ShapeError
from soundpost.evaluation.contest_metrics import macro_roc_auc, padded_cmap, row_f1, weighted_accuracy


def tables(seed: int = 0, rows: int = 50, classes: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Truth and scores with many ties; every class has rows of both kinds."""
    random = np.random.default_rng(seed)
    truth = random.uniform(size=(rows, classes)) < 0.3
    truth[0], truth[1] = True, False
    return truth, random.integers(0, 10, (rows, classes)) / 10


def test_macro_roc_auc_is_that_of_scikit_learn() -> None:
    """With ties, over all classes."""
    truth, scores = tables()
    assert macro_roc_auc(truth, scores) == pytest.approx(roc_auc_score(truth, scores, average="macro"), abs=1e-12)


def test_macro_roc_auc_skips_classes_of_one_kind_and_looks_at_order_alone() -> None:
    """A class without positives counts not; an increasing function of a column changes nothing."""
    truth, scores = tables()
    less = truth.copy()
    less[:, 2] = False
    kept = [0, 1, 3, 4, 5]
    assert macro_roc_auc(less, scores) == pytest.approx(macro_roc_auc(truth[:, kept], scores[:, kept]))
    assert macro_roc_auc(truth, scores**3 / 7) == pytest.approx(macro_roc_auc(truth, scores))
    with pytest.raises(ShapeError, match="none of 6 classes has rows with and without it"):
        macro_roc_auc(np.zeros_like(truth), scores)


def test_padded_cmap_is_average_precision_of_padded_tables() -> None:
    """As scikit-learn's average precision over rows of ones put behind."""
    truth, scores = tables(1)
    ones = np.ones((5, truth.shape[1]))
    expected = average_precision_score(np.concatenate([truth, ones]), np.concatenate([scores, ones]), average="macro")
    assert padded_cmap(truth, scores) == pytest.approx(expected, abs=1e-12)


def test_weighted_accuracy_is_the_mean_of_balanced_accuracies() -> None:
    """Recall of true and false rows, not precision."""
    truth, scores = tables(2)
    expected = [balanced_accuracy_score(t, s) for t, s in zip(truth.T, (scores > 0.5).T, strict=True)]
    assert weighted_accuracy(truth, scores > 0.5) == pytest.approx(np.mean(expected), abs=1e-12)


def test_row_f1_counts_nocall_as_a_word() -> None:
    """Mean over rows of the overlap of two sets of words."""
    assert row_f1(["a b", "nocall", "nocall"], ["b c d", "nocall", "a nocall"]) == pytest.approx((0.4 + 1 + 2 / 3) / 3)
    with pytest.raises(ShapeError, match="2 rows of truth and 1 of answers"):
        row_f1(["a", "b"], ["a"])


def test_scores_of_tables_of_other_shapes_are_refused() -> None:
    """The message holds both shapes."""
    with pytest.raises(ShapeError, match=r"truth \(2, 2\) and scores \(2, 3\) differ"):
        macro_roc_auc(np.zeros((2, 2)), np.zeros((2, 3)))
