"""Values are rounded together: errors of a kernel and of a channel cancel, and hardly a value pays for it."""

import numpy as np

from soundpost.kernel.squant import round_together


def test_round_together_errors_of_kernels_and_channels_sum_to_little() -> None:
    """A constant input is answered as by the exact weights: within half a step of a channel, whatever its size."""
    weights = np.random.default_rng(0).normal(0, 4, (16, 32, 3, 3))

    errors = round_together(weights) - weights

    assert np.abs(errors.sum((1, 2, 3))).max() <= 0.5
    assert np.abs(errors.sum((2, 3))).max() <= 1.5


def test_round_together_costs_little_on_single_values() -> None:
    """The squared error of values on their own grows by less than a fifth over the nearest whole numbers."""
    weights = np.random.default_rng(1).normal(0, 4, (16, 32, 3, 3))

    nearest = np.square(np.rint(weights) - weights).mean()

    assert np.square(round_together(weights) - weights).mean() < 1.2 * nearest


def test_round_together_smooth_positive_input_moves_answers_less() -> None:
    """What a filter answers to the maps that it really sees changes less than with the nearest whole numbers."""
    rng = np.random.default_rng(2)
    weights = rng.normal(0, 2, (16, 32, 3, 3))
    level = np.abs(rng.normal(1, 0.3, (200, 32, 1, 1)))
    maps = level * (1 + rng.normal(0, 0.2, (200, 32, 3, 3)))

    together = np.einsum("nikl,oikl->no", maps, round_together(weights) - weights)
    nearest = np.einsum("nikl,oikl->no", maps, np.rint(weights) - weights)

    assert np.square(together).mean() < np.square(nearest).mean() / 3


def test_round_together_whole_numbers_stay() -> None:
    """Nothing moves that need not."""
    weights = np.arange(-12.0, 12.0).reshape(2, 3, 4)

    np.testing.assert_array_equal(round_together(weights), weights)


def test_round_together_vectors_of_a_linear_layer_cancel_by_row() -> None:
    """Without taps the values of a row take each other's place."""
    weights = np.full((1, 4), 0.4)

    np.testing.assert_array_equal(round_together(weights).sum(1), [2.0])
