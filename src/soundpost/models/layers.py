"""Layers that two or more network families share."""

from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Gate(nn.Module):
    """One factor for each column, from all columns through a narrower (or wider) layer.

    Source: Hu et al. 2017, squeeze-and-excitation, less its pooling.
    """

    def __init__(self, columns: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(columns, hidden)
        self.fc2 = nn.Linear(hidden, columns)

    def forward(self, rows: Tensor) -> Tensor:
        """(batch, columns) -> factors (batch, columns) in (0, 1)."""
        return torch.sigmoid(self.fc2(F.relu(self.fc1(rows))))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch norm around a shortcut, as in ResNet-18 and ResNet-34.

    Source: He et al. 2015; names as in torchvision and pretrainedmodels.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            shortcut = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(out_channels))

    def forward(self, batch: Tensor) -> Tensor:
        """(batch, channels, height, width) -> (batch, out_channels, ceil(height / stride), ceil(width / stride))."""
        result = F.relu(self.bn1(self.conv1(batch)))
        return F.relu(self.bn2(self.conv2(result)) + self.downsample(batch))


def residual_stage(in_channels: int, out_channels: int, blocks: int, stride: int) -> nn.Sequential:
    """A row of basic blocks, the first of which changes channels and size."""
    rest = [BasicBlock(out_channels, out_channels) for _ in range(blocks - 1)]
    return nn.Sequential(BasicBlock(in_channels, out_channels, stride), *rest)


def classifier(width: int, n_classes: int, dropout: float) -> nn.Sequential:
    """A head of two linear layers between batch norms: (batch, width) -> (batch, classes)."""
    return nn.Sequential(
        nn.BatchNorm1d(width),
        nn.Linear(width, width),
        nn.BatchNorm1d(width),
        nn.PReLU(width),
        nn.Dropout(dropout),
        nn.Linear(width, n_classes),
    )


class PredictsAsInTraining(nn.Module):
    """A network that eval() leaves in training mode if it was made so, as some were run when they were published.

    Batch norms then use the statistics of the batch, and dropout stays active: a row depends on its batch mates and on
    chance, and a batch of one row cannot be computed.
    """

    def __init__(self, as_in_training: bool) -> None:
        super().__init__()
        self.as_in_training = as_in_training

    def train(self, mode: bool = True) -> Self:
        """Training mode if asked for, or if the network always predicts in it."""
        return super().train(mode or self.as_in_training)


def convolution(in_channels: int, out_channels: int, bias: bool = False) -> nn.Sequential:
    """A 3 x 3 convolution of the same size, batch norm and ReLU; a fresh one starts Kaiming normal, its bias at 0."""
    layer = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=bias)
    nn.init.kaiming_normal_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return nn.Sequential(layer, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True))


class ConvolutionBlock(nn.Module):
    """Two convolutions with batch norm, then the mean of each two by two cells."""

    def __init__(self, in_channels: int, out_channels: int, bias: bool = False) -> None:
        super().__init__()
        self.conv1 = convolution(in_channels, out_channels, bias)
        self.conv2 = convolution(out_channels, out_channels, bias)

    def forward(self, batch: Tensor) -> Tensor:
        """(batch, channels, mels, frames) -> (batch, out_channels, mels // 2, frames // 2)."""
        return F.avg_pool2d(self.conv2(self.conv1(batch)), 2)
