"""Batch norms are folded into the layers before them where that changes no answer."""

import pytest
import torch
from conftest import compact_arrays
from networks import (
    recipe,
    spectrograms,
)
from torch import Tensor, nn

from soundpost.ensemble.recipes import Member
from soundpost.inference.fuse_batch_norm import BOUND, fold_batch_norms
from soundpost.inference.network import build


def test_folded_network_answers_as_before_with_fewer_steps() -> None:
    """No batch norm is left, the logits agree to rounding, and the given network is untouched."""
    model = build(recipe(), Member("tiny", "1", "", ""), compact_arrays(1))
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    clips = spectrograms(5)
    with torch.inference_mode():
        expected = model(clips)
        folded = fold_batch_norms(model, clips[:1])
        found = folded(clips)

    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    assert (found - expected).abs().max() <= BOUND * expected.abs().max().clamp(min=1)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, state[name]), name


class UsedTwice(nn.Module):
    """A convolution whose output is used beside its batch norm, too."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3)
        self.norm = nn.BatchNorm2d(3).eval()
        nn.init.uniform_(self.norm.running_mean, 1, 2)

    def forward(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Logits first, as networks with auxiliary outputs give them."""
        maps = self.conv(batch)
        logits = (self.norm(maps) + maps).mean((2, 3))
        return logits, logits


class ChangedBetween(UsedTwice):
    """The convolution's output is changed in place before the batch norm sees it."""

    def forward(self, batch: Tensor) -> Tensor:
        """Same tensor, other values."""
        return self.norm(self.conv(batch).relu_()).mean((2, 3))


class CalledTwice(UsedTwice):
    """One convolution and norm, used one after the other at two places."""

    def forward(self, batch: Tensor) -> Tensor:
        """The same layers on the input and on its mirror image."""
        return (self.norm(self.conv(batch)) + self.norm(self.conv(batch.flip(-1)))).mean((2, 3))


@pytest.mark.parametrize("kind", [UsedTwice, ChangedBetween, CalledTwice])
def test_network_that_cannot_be_folded_stays_as_it_is(kind: type[nn.Module]) -> None:
    """Where folding would change the answer it is not done."""
    model = kind().eval()

    assert fold_batch_norms(model, torch.randn(2, 1, 9, 9)) is model
