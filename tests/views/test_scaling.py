"""Tables of numbers come to a device once, and stay on it."""

import pytest
import torch

from soundpost.functional import constants
from soundpost.functional.constants import constant
from soundpost.functional.deltas import with_derivatives
from soundpost.views.scaling import scaled


def test_scaled_values_are_those_of_the_formula_for_each_channel() -> None:
    """(batch / divisor - mean) / std, a single channel shown three times."""
    batch = torch.arange(8.0).reshape(2, 1, 2, 2)
    found = scaled(batch, 2.0, (0.0, 1.0, 2.0), (1.0, 2.0, 4.0), 3)
    for channel, (mean, std) in enumerate(((0.0, 1.0), (1.0, 2.0), (2.0, 4.0))):
        torch.testing.assert_close(found[:, channel], (batch[:, 0] / 2.0 - mean) / std)


def test_views_bring_their_numbers_to_a_device_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever makes a tensor out of numbers there waits for the device; only the first batch does."""
    batch = torch.empty((2, 1, 4, 16), device="meta")

    def prepare() -> None:
        scaled(batch, 2.0, (0.0, 1.0, 2.0), (1.0, 2.0, 4.0), 3)
        with_derivatives(batch)

    prepare()
    made: list[object] = []
    tensor = torch.tensor
    monkeypatch.setattr(torch, "tensor", lambda *rest, **named: (made.append(rest), tensor(*rest, **named))[1])
    monkeypatch.setattr(torch.Tensor, "new_tensor", lambda self, *rest: made.append(rest))
    prepare()
    assert not made


def test_kept_numbers_differ_by_device_and_type_and_serve_in_training() -> None:
    """A table made while predicting is no inference tensor."""
    with torch.inference_mode():
        half = constant((1.0, 2.0), torch.empty(1, device="meta", dtype=torch.float16))
        whole = constant((1.0, 2.0), torch.empty(1, device="meta"))
    assert (half.dtype, whole.dtype) == (torch.float16, torch.float32)
    assert not whole.is_inference()
    assert constant((1.0, 2.0), torch.empty(1, device="meta")) is whole
    assert constants.constant((1.0, 2.0), torch.empty(1)).tolist() == [1.0, 2.0]
