"""Networks m0, m2 and m3 of ERC2019: convolution blocks over one-channel pictures of sound.

Source: systems specification of suicao/Pytorch-Audio-Emotion-Recognition at 50d2b2c; m2 and m3 after Shugaev et al.,
DCASE 2019. Names of the state dict are those of its weights.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from soundpost.models.layers import ConvolutionBlock, PredictsAsInTraining, convolution


@dataclass(frozen=True)
class PlainSettings:
    """Sizes of m0."""

    widths: tuple[int, ...] = (64, 128, 256, 512)  # channels of the blocks
    hidden: int = 128  # width of the head
    dropout: float = 0.2  # before the head's first linear layer, half of it before the second
    as_in_training: bool = False  # as published: predict with the batch's own statistics and with dropout


@dataclass(frozen=True)
class PyramidSettings:
    """Sizes of m2; m3 has a fifth block of 1024 channels."""

    widths: tuple[int, ...] = (64, 128, 256, 512)  # channels of the blocks
    hidden: int = 256  # width of the head
    as_in_training: bool = False  # as published: predict with the batch's own statistics


class DenseBlock(nn.Module):
    """Two convolutions of which the second sees the block's input too, in front of the first one's output."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = convolution(in_channels, out_channels, bias=True)
        self.conv2 = convolution(in_channels + out_channels, out_channels, bias=True)

    def forward(self, batch: Tensor) -> Tensor:
        """(batch, channels, mels, frames) -> (batch, out_channels, mels, frames)."""
        return self.conv2(torch.cat([batch, self.conv1(batch)], 1))


class Plain(PredictsAsInTraining):
    """m0: plain blocks, mean over time, maximum over mels, and a head with dropout."""

    Settings: ClassVar[type] = PlainSettings

    def __init__(self, settings: PlainSettings, n_classes: int) -> None:
        super().__init__(settings.as_in_training)
        self.conv = nn.Sequential(*(ConvolutionBlock(i, o, bias=True) for i, o in pairwise((1, *settings.widths))))
        self.fc = nn.Sequential(
            nn.Dropout(settings.dropout),
            nn.Linear(settings.widths[-1], settings.hidden),
            nn.PReLU(),
            nn.BatchNorm1d(settings.hidden),
            nn.Dropout(settings.dropout / 2),
            nn.Linear(settings.hidden, n_classes),
        )

    def forward(self, batch: Tensor) -> Tensor:
        """Logits (batch, classes) of pictures (batch, 1, mels, frames) with at least 16 mels and 16 frames."""
        return self.fc(self.conv(batch).mean(3).amax(2))


class Pyramid(PredictsAsInTraining):
    """m2 and m3: dense blocks; mean and maximum of every block but the first go side by side into the head."""

    Settings: ClassVar[type] = PyramidSettings

    def __init__(self, settings: PyramidSettings, n_classes: int) -> None:
        super().__init__(settings.as_in_training)
        self.depth = len(settings.widths)
        for j, (in_channels, out_channels) in enumerate(pairwise((1, *settings.widths)), start=1):
            self.add_module(f"conv{j}", DenseBlock(in_channels, out_channels))
        pooled = 2 * sum(settings.widths[1:])
        self.fc = nn.Sequential(
            nn.BatchNorm1d(pooled),
            nn.Linear(pooled, settings.hidden),
            nn.PReLU(),
            nn.BatchNorm1d(settings.hidden),
            nn.Linear(settings.hidden, n_classes),
        )

    def forward(self, batch: Tensor) -> Tensor:
        """Logits (batch, classes) of pictures (batch, 1, mels, frames) with at least 16 mels and 16 frames."""
        summaries = []
        for j in range(1, self.depth + 1):
            batch = self.get_submodule(f"conv{j}")(batch)
            if j < self.depth:
                batch = F.avg_pool2d(batch, 2)
            if j > 1:
                summaries += [batch.mean((2, 3)), batch.amax((2, 3))]
        return self.fc(torch.cat(summaries, 1))
