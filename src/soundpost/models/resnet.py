"""ResNet and ResNeXt bodies with the heads that fastai puts on them, or with torchvision's own.

Source: He et al. 2015 and Xie et al. 2016 in torchvision's form; heads as in the systems specifications of filipmu
(fastai v1) and of the high-resolution spectrograms (fastai2). Names of the state dict are those of fastai: 0.* is the
body, 1.* the head.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from soundpost.errors import SettingsError
from soundpost.models.layers import residual_stage

# Beginnings of torchvision's names -> of fastai's; its one linear layer is the head "linear".
TORCHVISION = {
    "conv1.": "0.0.",
    "bn1.": "0.1.",
    "layer1.": "0.4.",
    "layer2.": "0.5.",
    "layer3.": "0.6.",
    "layer4.": "0.7.",
    "fc.": "1.2.",
}
EXPANSION = 4  # a bottleneck's output channels over its planes


@dataclass(frozen=True)
class ResNetSettings:
    """Sizes of the network; the defaults are ResNet-34 with the head of fastai v1."""

    block: str = "basic"  # "basic" or "bottleneck"
    layers: tuple[int, ...] = (3, 4, 6, 3)  # blocks of each stage
    stem: int = 64  # channels of the first convolution and planes of the first stage; each stage doubles them
    groups: int = 1  # how many the middle convolution of a bottleneck is split into
    width_per_group: int = 64  # its channels per group, for 64 planes
    head: str = "fastai"  # "fastai": two layers over maximum and mean; "linear": one layer over the mean
    hidden: int = 512  # width of fastai's head
    head_bias: bool = True  # whether its linear layers have one: true in v1, false in fastai2
    dropouts: tuple[float, float] = (0.25, 0.5)  # before the first and the second linear layer


class Bottleneck(nn.Module):
    """A grouped convolution between two that change the number of channels, around a shortcut."""

    def __init__(self, in_channels: int, width: int, out_channels: int, stride: int, groups: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            shortcut = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(out_channels))

    def forward(self, batch: Tensor) -> Tensor:
        """(batch, channels, height, width) -> (batch, out_channels, ceil(height / stride), ceil(width / stride))."""
        result = F.relu(self.bn1(self.conv1(batch)))
        result = F.relu(self.bn2(self.conv2(result)))
        return F.relu(self.bn3(self.conv3(result)) + self.downsample(batch))


class MaximumAndMean(nn.Module):
    """Global maximum of every channel, then its global mean, side by side."""

    def forward(self, batch: Tensor) -> Tensor:
        """(batch, channels, height, width) -> (batch, 2 * channels)."""
        return torch.cat([batch.amax((2, 3)), batch.mean((2, 3))], 1)


class Mean(nn.Module):
    """Global mean of every channel."""

    def forward(self, batch: Tensor) -> Tensor:
        """(batch, channels, height, width) -> (batch, channels)."""
        return batch.mean((2, 3))


class ResNet(nn.Sequential):
    """Logits (batch, classes) of pictures (batch, 3, height, width) of any size."""

    Settings: ClassVar[type] = ResNetSettings

    def __init__(self, settings: ResNetSettings, n_classes: int) -> None:
        for key, choices in (("block", ("basic", "bottleneck")), ("head", ("fastai", "linear"))):
            if getattr(settings, key) not in choices:
                raise SettingsError(
                    f"{key} '{getattr(settings, key)}' is not known; known: {', '.join(choices)}. Correct [model]."
                )
        stem = settings.stem
        body: list[nn.Module] = [
            nn.Conv2d(3, stem, 7, 2, 3, bias=False),
            nn.BatchNorm2d(stem),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, 1),
        ]
        channels = stem
        for number, blocks in enumerate(settings.layers):
            planes, stride = stem * 2**number, 1 if number == 0 else 2
            if settings.block == "basic":
                body.append(residual_stage(channels, planes, blocks, stride))
                channels = planes
            else:
                body.append(_bottleneck_stage(channels, planes, blocks, stride, settings))
                channels = EXPANSION * planes
        head = (
            _fastai_head(settings, channels, n_classes) if settings.head == "fastai" else _linear(channels, n_classes)
        )
        super().__init__(nn.Sequential(*body), head)


def _bottleneck_stage(
    in_channels: int, planes: int, blocks: int, stride: int, settings: ResNetSettings
) -> nn.Sequential:
    width, out_channels = planes * settings.width_per_group // 64 * settings.groups, EXPANSION * planes
    first = Bottleneck(in_channels, width, out_channels, stride, settings.groups)
    rest = [Bottleneck(out_channels, width, out_channels, 1, settings.groups) for _ in range(blocks - 1)]
    return nn.Sequential(first, *rest)


def _fastai_head(settings: ResNetSettings, channels: int, n_classes: int) -> nn.Sequential:
    first = nn.Linear(2 * channels, settings.hidden, settings.head_bias)
    second = nn.Linear(settings.hidden, n_classes, settings.head_bias)
    for layer in (first, second):
        nn.init.kaiming_normal_(layer.weight)
        if settings.head_bias:
            nn.init.zeros_(layer.bias)
    return nn.Sequential(
        MaximumAndMean(),
        nn.Flatten(),
        nn.BatchNorm1d(2 * channels),
        nn.Dropout(settings.dropouts[0]),
        first,
        nn.ReLU(),
        nn.BatchNorm1d(settings.hidden),
        nn.Dropout(settings.dropouts[1]),
        second,
    )


def _linear(channels: int, n_classes: int) -> nn.Sequential:
    return nn.Sequential(Mean(), nn.Flatten(), nn.Linear(channels, n_classes))
