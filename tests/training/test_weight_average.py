"""The rate of a brief training, and the moving average of weights that it keeps."""

import pytest
import torch

from soundpost.training.weight_average import WeightAverage, learning_rate


def test_learning_rate_rises_straight_then_falls_along_a_cosine() -> None:
    """Up to the peak at the end of the warm-up, half of it midway, nearly nothing at the end."""
    rates = [learning_rate(step, 110, 10, 2.0) for step in range(110)]

    assert rates[:3] == pytest.approx([0.2, 0.4, 0.6])
    assert max(rates) == pytest.approx(2.0)
    assert rates[60] == pytest.approx(1.0, abs=0.01)
    assert rates[-1] < 0.005
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_weight_average_of_a_standing_network_is_that_network() -> None:
    """The average follows its network and leaves counters alone."""
    network = torch.nn.BatchNorm1d(2)
    average = WeightAverage(network, 0.9)
    with torch.no_grad():
        network.weight.fill_(3.0)

    for _ in range(200):
        average.update()

    torch.testing.assert_close(average.network.weight, network.weight, rtol=1e-5, atol=1e-5)
    assert not average.network.training
