"""Networks are built from recipe and arrays alone, and copied to a CPU without their device's memory."""

from collections.abc import Callable
from copy import deepcopy

import numpy as np
import pytest
import torch
from conftest import compact_arrays
from networks import recipe
from torch import Tensor, nn

from soundpost.ensemble.recipes import Member
from soundpost.errors import WeightsError
from soundpost.inference.network import build, copy_on_cpu


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: a.pop("stem.weight"), r"missing \['stem.weight'\]"),
        (lambda a: a.update(stray=np.zeros(1, np.float32)), r"unexpected \['stray'\]"),
        (lambda a: a.update({"overall.bias": np.zeros(80, np.float32)}), r"overall.bias \(80,\) instead of \(4,\)"),
    ],
)
def test_weights_of_another_network_are_refused_with_both_sides(change: Callable, words: str) -> None:
    """Names and shapes that do not fit are shown."""
    arrays = compact_arrays(1)
    change(arrays)

    with pytest.raises(WeightsError, match=rf"member tiny/1 does not fit model 'compact'.*{words}"):
        build(recipe(), Member("tiny", "1", "", ""), arrays)


class Recurrent(nn.Module):
    """A recurrent layer, whose weights are kept in a list as well, beside a buffer of whole numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.GRU(3, 4, batch_first=True)
        self.norm = nn.BatchNorm1d(4)

    def forward(self, batch: Tensor) -> Tensor:
        """(batch, frames, 3) -> (batch, 4)."""
        return self.norm(self.layer(batch)[0][:, -1])


@pytest.mark.parametrize("kind", [nn.Identity, Recurrent])
def test_copy_on_the_cpu_is_a_network_of_its_own_in_float32(kind: type[nn.Module]) -> None:
    """It answers the same, and no tensor of it is one of the network that was copied."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 3), kind()).eval()
    batch = torch.randn(2, 5, 3)

    twin = copy_on_cpu(model)

    with torch.inference_mode():
        torch.testing.assert_close(twin(batch), model(batch))
        model.double()
        assert {t.dtype for t in copy_on_cpu(model).state_dict().values()} <= {torch.float32, torch.int64}
    assert not {t.data_ptr() for t in twin.parameters()} & {t.data_ptr() for t in model.parameters()}


def test_copy_on_the_cpu_takes_no_room_on_a_device_that_is_full() -> None:
    """A copy that is first made beside the network would need the room of all its weights on the device."""

    class OnAFullDevice(nn.Parameter):
        def __deepcopy__(self, memo: dict) -> Tensor:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")

    model = nn.Linear(2, 2)
    model.weight, model.bias = OnAFullDevice(model.weight.data), OnAFullDevice(model.bias.data)
    with pytest.raises(torch.OutOfMemoryError, match="CUDA out of memory"):
        deepcopy(model)

    twin = copy_on_cpu(model)

    torch.testing.assert_close(twin(torch.ones(1, 2)), model(torch.ones(1, 2)))
