"""Logits become probabilities in one place, for tensors and arrays alike."""

import numpy as np
import pytest
import torch

from soundpost.inference.activation import probabilities_of, probabilities_of_array

LOGITS = np.array([[0.0, 2.0, -3.0], [2000.0, -2000.0, 0.0], [-np.inf, 1.0, 1.0]], np.float32)


def test_sigmoid_takes_each_class_by_itself_without_overflow() -> None:
    """Extremes are 0 and 1, and no warning is raised on the way."""
    expected = [[0.5, 0.880797, 0.047426], [1.0, 0.0, 0.5], [0.0, 0.731059, 0.731059]]
    np.testing.assert_allclose(probabilities_of_array(LOGITS, "sigmoid"), expected, atol=1e-6)


def test_softmax_shares_one_among_the_classes_of_a_row() -> None:
    """Whatever the scale of the logits."""
    found = probabilities_of_array(LOGITS, "softmax")
    np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-6)
    np.testing.assert_allclose(found[1:], [[1, 0, 0], [0, 0.5, 0.5]], atol=1e-6)


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_array_and_tensor_have_the_same_probabilities(activation: str, dtype: type) -> None:
    """One formula, and the type stays; NaN stays NaN, so that it can be seen later."""
    logits = np.append(LOGITS, [[0.0, np.nan, 1.0]], axis=0).astype(dtype)
    found = probabilities_of_array(logits, activation)
    np.testing.assert_array_equal(found, probabilities_of(torch.from_numpy(logits), activation).numpy())
    assert found.dtype == dtype
    assert np.isnan(found[3]).any()
