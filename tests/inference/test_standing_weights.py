"""Layers that make their weights in every pass are replaced by plain ones where that changes no answer."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from soundpost.inference.standing_weights import stand_weights


class Standardised(nn.Conv2d):
    """Weights without a mean, of one size, times a gain: made anew in every pass."""

    def forward(self, batch: Tensor) -> Tensor:
        """As torch's layer with other weights."""
        centred = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        weight = 0.3 * centred / centred.square().mean((1, 2, 3), keepdim=True).sqrt()
        return functional.conv2d(batch, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class OfTheBatch(Standardised):
    """Weights that depend on what is convolved."""

    def forward(self, batch: Tensor) -> Tensor:
        """Louder clips are made quieter."""
        weight = self.weight / (1 + batch[..., 0].abs().mean())
        return functional.conv2d(batch, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class PaddedBefore(Standardised):
    """The input is changed first."""

    def forward(self, batch: Tensor) -> Tensor:
        """More zeros at one end."""
        padded = functional.pad(batch, (0, 1, 0, 1))
        return functional.conv2d(padded, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class Twice(Standardised):
    """Two convolutions in one layer."""

    def forward(self, batch: Tensor) -> Tensor:
        """The input and its mirror image."""
        return super().forward(batch) + super().forward(batch.flip(-1).flip(-1) * 0.5)


def network(kind: type[nn.Conv2d]) -> nn.Module:
    """Two of these layers, one with groups and steps, then logits."""
    torch.manual_seed(0)
    layers = [kind(2, 6, 3, padding=1), nn.ReLU(), kind(6, 4, 3, stride=2, groups=2, bias=False)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()


def test_standardised_weights_are_made_once_and_the_answers_stay() -> None:
    """The layers are torch's own, logits of other clips are the same to the bit, the given network is untouched."""
    model, batch = network(Standardised), torch.randn(3, 2, 12, 17)
    standing = stand_weights(model, torch.randn(1, 2, 12, 17))
    assert [type(layer) for layer in standing if isinstance(layer, nn.Conv2d)] == [nn.Conv2d, nn.Conv2d]
    assert [type(layer) for layer in model if isinstance(layer, nn.Conv2d)] == [Standardised, Standardised]
    with torch.inference_mode():
        assert torch.equal(standing(batch), model(batch))


@pytest.mark.parametrize("kind", [OfTheBatch, PaddedBefore, Twice])
def test_layer_that_does_more_than_one_fixed_convolution_stays_as_it_is(kind: type[nn.Conv2d]) -> None:
    """Weights that depend on the clips, an input that is changed first, two convolutions in one."""
    model = network(kind)
    assert stand_weights(model, torch.randn(1, 2, 12, 17)) is model


def test_network_without_such_layers_is_given_back() -> None:
    """Nothing is tried where every layer is torch's own."""
    model = network(nn.Conv2d)
    assert stand_weights(model, torch.randn(1, 2, 12, 17)) is model


def test_network_in_training_mode_is_given_back() -> None:
    """It predicts with its batch's statistics, which may make its weights, too."""
    model = network(Standardised).train()
    assert stand_weights(model, torch.randn(1, 2, 12, 17)) is model
