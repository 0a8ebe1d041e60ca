"""The gated network "dcase" of ERC2019, which was the custom CNN of Freesound 2019's seventh place.

Source: systems specification of suicao/Pytorch-Audio-Emotion-Recognition at 50d2b2c and of the seventh place's kernel;
gate after Roy et al. 2018 (concurrent spatial and channel squeeze and excitation). Names of the state dict are those
of its weights.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from soundpost.errors import ShapeError
from soundpost.models.layers import PredictsAsInTraining

BLOCK_WINDOWS = ((1, 1), (4, 1), (1, 3), (4, 1), (1, 3))  # mels, frames pooled behind each block
PYRAMID_WINDOWS = ((5, 8), (2, 4))  # cells of the last map, pooled for the head
GROWTH = 2  # cells that the two convolutions of a block add to each axis


@dataclass(frozen=True)
class DcaseSettings:
    """Sizes of the network, and of the pictures that it takes."""

    widths: tuple[int, ...] = (32, 64, 128, 256, 512)  # channels of the five blocks
    hidden: int = 512  # width of the head
    dropout: float = 0.4  # before the head's first linear layer, half of it before the second
    mels: int = 128  # height of a picture; the head fits one size alone
    frames: int = 128  # width of a picture
    as_in_training: bool = False  # as published: predict with the batch's own statistics and with dropout


class SpatialGate(nn.Module):
    """One factor for each cell, from all its channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, 1, 1, bias=False)

    def forward(self, batch: Tensor) -> Tensor:
        """(batch, channels, mels, frames), same shape out."""
        return batch * torch.sigmoid(self.squeeze(batch))


class ChannelGate(nn.Module):
    """One factor for each channel, from the means of all channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels // 4, 1)
        self.conv2 = nn.Conv2d(channels // 4, channels, 1)

    def forward(self, batch: Tensor) -> Tensor:
        """(batch, channels, mels, frames), same shape out."""
        return batch * torch.sigmoid(self.conv2(F.relu(self.conv1(batch.mean((2, 3), keepdim=True)))))


class Gate(nn.Module):
    """The map gated by cell plus the map gated by channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.satt = SpatialGate(channels)
        self.catt = ChannelGate(channels)

    def forward(self, batch: Tensor) -> Tensor:
        """(batch, channels, mels, frames), same shape out."""
        return self.satt(batch) + self.catt(batch)


class GatedBlock(nn.Module):
    """Two convolutions of two by two cells, each of which lets both axes grow by one, a gate, and pooling."""

    def __init__(self, in_channels: int, out_channels: int, window: tuple[int, int]) -> None:
        super().__init__()
        self.window = window
        self.conv1 = nn.Conv2d(in_channels, out_channels, 2, padding=1, bias=False)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.scse = Gate(out_channels)
        for convolution in (self.conv1, self.conv2):
            nn.init.kaiming_uniform_(convolution.weight, nonlinearity="relu")

    def forward(self, batch: Tensor) -> Tensor:
        """(batch, channels, mels, frames) -> (batch, out_channels, (mels + 2) // window, (frames + 2) // window)."""
        batch = F.relu(self.bn1(self.conv1(batch)))
        batch = F.relu(self.scse(self.bn2(self.conv2(batch))))
        return _maximum_and_mean(batch, self.window)


class Dcase(PredictsAsInTraining):
    """Gated blocks that pool mels and frames in turn, then a head on the last map at three coarse resolutions."""

    Settings: ClassVar[type] = DcaseSettings

    def __init__(self, settings: DcaseSettings, n_classes: int) -> None:
        super().__init__(settings.as_in_training)
        if len(settings.widths) != len(BLOCK_WINDOWS):
            raise ShapeError(f"dcase with widths {settings.widths}: it has {len(BLOCK_WINDOWS)} blocks. Give as many.")
        self.size = settings.mels, settings.frames
        for j, (in_channels, out_channels) in enumerate(pairwise((1, *settings.widths)), start=1):
            self.add_module(f"conv{j}", GatedBlock(in_channels, out_channels, BLOCK_WINDOWS[j - 1]))
        pooled = settings.widths[-1] * _cells(self.size)
        self.bn1 = nn.BatchNorm1d(pooled)
        self.fc1 = nn.Linear(pooled, settings.hidden)
        self.prelu = nn.PReLU()
        self.bn2 = nn.BatchNorm1d(settings.hidden)
        self.fc2 = nn.Linear(settings.hidden, n_classes)
        self.dropout1 = nn.Dropout(settings.dropout)
        self.dropout2 = nn.Dropout(settings.dropout / 2)

    def forward(self, batch: Tensor) -> Tensor:
        """Logits (batch, classes) of pictures (batch, 1, mels, frames) of the size in the settings.

        Raises:
            ShapeError: pictures of another size.
        """
        _check_size(batch, self.size)
        for j in range(1, len(BLOCK_WINDOWS) + 1):
            batch = self.get_submodule(f"conv{j}")(batch)
        parts = [batch.mean(3).amax(2)]
        parts += [_maximum_and_mean(batch, window).flatten(1) for window in PYRAMID_WINDOWS]
        rows = self.dropout1(self.bn1(torch.cat(parts, 1)))
        rows = self.dropout2(self.bn2(self.prelu(self.fc1(rows))))
        return self.fc2(rows)


def _check_size(batch: Tensor, size: Sequence[int]) -> None:
    """Refuse pictures of another size than the head was made for.

    Raises:
        ShapeError: mels or frames differ.
    """
    if tuple(batch.shape[2:]) != tuple(size):
        raise ShapeError(
            f"dcase got a batch of shape {tuple(batch.shape)}, its head fits {tuple(size)} mels and frames. "
            "Use a front end and a view that give this size."
        )


def _maximum_and_mean(batch: Tensor, window: tuple[int, int]) -> Tensor:
    return F.max_pool2d(batch, window) + F.avg_pool2d(batch, window)


def _cells(size: Sequence[int]) -> int:
    """How many numbers the head sees of each channel of the last map."""
    for window in BLOCK_WINDOWS:
        size = [(cells + GROWTH) // pooled for cells, pooled in zip(size, window, strict=True)]
    return 1 + sum(math.prod(n // pooled for n, pooled in zip(size, window, strict=True)) for window in PYRAMID_WINDOWS)
