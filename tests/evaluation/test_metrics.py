"""Scores: worked by hand, equal to scikit-learn's where it has them, and the same for equal ranks."""

import numpy as np
import pytest

from soundpost.errors import ShapeError
from soundpost.evaluation.metrics import accuracy, lwlrap, lwlrap_of_classes, mean_average_precision, top_k_error

TRUTH = np.array([[1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]])
# Ranks of the true labels: 1; 1 and 3; 2.
SCORES = np.array([[0.9, 0.1, 0.2, 0.3], [0.6, 0.8, 0.1, 0.0], [0.7, 0.1, 0.0, 0.5]])


def test_lwlrap_worked_by_hand() -> None:
    """Precisions at the four labels are 1, 1, 2/3 and 1/2."""
    assert lwlrap(TRUTH, SCORES) == pytest.approx((1 + 1 + 2 / 3 + 1 / 2) / 4)


def test_lwlrap_is_the_sum_of_its_classes() -> None:
    """Precision of each class, weighted by its share of the labels, gives the whole."""
    precision, share = lwlrap_of_classes(TRUTH, SCORES)

    assert precision @ share == pytest.approx(lwlrap(TRUTH, SCORES))
    assert share.sum() == pytest.approx(1)


def test_lwlrap_many_random_tables_equals_the_definition_by_sorting() -> None:
    """Without ties, precision at a label is the share of true ones among the classes down to it in sorted order."""
    random = np.random.default_rng(0)
    truth = random.random((200, 12)) < 0.2
    scores = random.random((200, 12))
    total = 0.0
    for positive, row in zip(truth, scores, strict=True):
        hits = positive[np.argsort(-row)]
        total += (np.cumsum(hits) / np.arange(1, 13))[hits].sum()

    assert lwlrap(truth, scores) == pytest.approx(total / truth.sum())


def test_lwlrap_constant_scores_take_the_worst_rank() -> None:
    """Answering the same for every class earns the share of true labels, not luck."""
    assert lwlrap(TRUTH, np.full(TRUTH.shape, 0.5)) == pytest.approx((1 / 4 + 2 / 4 + 2 / 4 + 1 / 4) / 4)


def test_lwlrap_clip_without_label_does_not_count() -> None:
    """A row of zeros in the truth leaves the score as it is."""
    truth = np.vstack([TRUTH, np.zeros((1, 4), int)])
    scores = np.vstack([SCORES, np.ones((1, 4))])

    assert lwlrap(truth, scores) == pytest.approx(lwlrap(TRUTH, SCORES))


def test_scores_monotone_change_of_probabilities_changes_nothing() -> None:
    """Only ranks within a clip count."""
    bent = SCORES**3 / 2

    assert lwlrap(TRUTH, bent) == lwlrap(TRUTH, SCORES)
    assert accuracy(TRUTH, bent) == accuracy(TRUTH, SCORES)
    assert mean_average_precision(TRUTH, bent, 3) == mean_average_precision(TRUTH, SCORES, 3)


def test_accuracy_and_top_k_error_worked_by_hand() -> None:
    """The highest score is right for two of three clips; among the two highest is a label of each."""
    assert accuracy(TRUTH, SCORES) == pytest.approx(2 / 3)
    assert top_k_error(TRUTH, SCORES, 1) == pytest.approx(1 / 3)
    assert top_k_error(TRUTH, SCORES, 2) == 0


def test_mean_average_precision_worked_by_hand() -> None:
    """One label at rank 1; two at ranks 1 and 3; one at rank 2."""
    assert mean_average_precision(TRUTH, SCORES, 3) == pytest.approx((1 + (1 + 2 / 3) / 2 + 1 / 2) / 3)
    assert mean_average_precision(TRUTH, SCORES, 1) == pytest.approx(2 / 3)


def test_scores_tables_of_different_shape_are_refused() -> None:
    """The message shows both shapes."""
    with pytest.raises(ShapeError, match=r"\(3, 4\).*\(3, 3\).*Give"):
        lwlrap(TRUTH, SCORES[:, :3])


def test_lwlrap_without_any_label_is_refused() -> None:
    """There is no score without something to find."""
    with pytest.raises(ShapeError, match="none of the 3 clips has a label"):
        lwlrap(np.zeros_like(TRUTH), SCORES)
