"""Columns are blended by those that know them, and what is not finite is left out by name."""

import numpy as np

from soundpost.ensemble.blend import Blend
from soundpost.ensemble.column_blend import blend_columns
from soundpost.ensemble.recipes import Named


def test_column_is_blended_by_the_members_that_know_it() -> None:
    """Two members share one column, each has one alone, nobody knows the last; unanswered clips stay."""
    probabilities = np.array([[[0.2, 0.4, 0, 0], [1, 1, 1, 1]], [[0, 0.8, 0.6, 0], [1, 1, 1, 1]]], np.float32)
    done = np.array([[True, False], [True, False]])
    knows = np.array([[True, True, False, False], [False, True, True, False]])
    result = np.full((2, 4), 0.1)

    left_out = blend_columns(Blend(Named("mean", {}), ["a/1", "b/1"]), probabilities, done, knows, result)

    np.testing.assert_allclose(result, [[0.2, 0.6, 0.6, 0.1], [0.1, 0.1, 0.1, 0.1]], atol=1e-7)
    assert not any(spoilt.any() for spoilt in left_out.values())


def test_row_that_is_not_finite_is_left_out_in_every_column_and_named() -> None:
    """Once, however many groups of columns its member belongs to."""
    probabilities = np.array([[[np.nan, 0.4, 0.5]], [[0.0, 0.8, 0.0]]], np.float32)
    knows = np.array([[True, True, True], [False, True, False]])
    result = np.zeros((1, 3))

    left_out = blend_columns(
        Blend(Named("mean", {}), ["a/1", "b/1"]), probabilities, np.ones((2, 1), bool), knows, result
    )

    assert left_out["a/1"].tolist() == [True]
    np.testing.assert_allclose(result, [[0.0, 0.8, 0.0]], atol=1e-7)
