"""The first-level networks of argus: four convolution blocks whose features meet in one attention block.

Source: systems specification of lRomul/argus-freesound (first place, Freesound 2019) at 4faf8f1 and the commits of its
ensemble members; attention after Woo et al. 2018 (CBAM). Names of the state dict are those of its checkpoints.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from soundpost.functional.strips import Stage
from soundpost.models.layers import ConvolutionBlock


@dataclass(frozen=True)
class ArgusSettings:
    """Sizes of the network; the class defaults, which no ensemble member uses unchanged."""

    base_size: int = 64  # channels of the first block; the fourth has eight times as many
    dropout: float = 0.2  # before the first linear layer of each head, half of it before the second
    ratio: int = 16  # the channel attention squeezes 32 * base_size channels to this fraction
    kernel_size: int = 7  # mels and frames, of the spatial attention; 7 or 3
    last_filters: int = 8  # times base_size: channels that the main head sees
    last_fc: int = 2  # times base_size: width of every head


class SkipBlock(nn.Module):
    """A block's output shrunk to the size of the last one, then one convolution with batch norm."""

    def __init__(self, in_channels: int, out_channels: int, factor: int = 1) -> None:
        super().__init__()
        self.factor = factor
        self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, batch: Tensor) -> Tensor:
        """(batch, channels, mels, frames) -> (batch, out_channels, mels // factor, frames // factor)."""
        shrunk = F.avg_pool2d(batch, self.factor) if self.factor > 1 else batch
        return F.relu(self.bn(self.conv(shrunk)))


class ChannelAttention(nn.Module):
    """One factor for each channel, from its mean and its maximum through the same two layers."""

    def __init__(self, channels: int, ratio: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // ratio, 1, bias=False)
        self.fc2 = nn.Conv2d(channels // ratio, channels, 1, bias=False)

    def forward(self, batch: Tensor) -> Tensor:
        """(batch, channels, mels, frames) -> (batch, channels, 1, 1) in (0, 1)."""
        mean, peak = batch.mean((2, 3), keepdim=True), batch.amax((2, 3), keepdim=True)
        return torch.sigmoid(self._squeeze(mean) + self._squeeze(peak))

    def _squeeze(self, pooled: Tensor) -> Tensor:
        return self.fc2(F.relu(self.fc1(pooled)))


class SpatialAttention(nn.Module):
    """One factor for each cell, from the mean and the maximum over the channels, in that order."""

    def __init__(self, kernel_size: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(2, 1, kernel_size, padding=(kernel_size - 1) // 2, bias=False)

    def forward(self, batch: Tensor) -> Tensor:
        """(batch, channels, mels, frames) -> (batch, 1, mels, frames) in (0, 1)."""
        planes = torch.cat([batch.mean(1, keepdim=True), batch.amax(1, keepdim=True)], 1)
        return torch.sigmoid(self.conv1(planes))


class Attention(nn.Module):
    """Channel attention, then spatial attention, with no path around them."""

    def __init__(self, channels: int, ratio: int, kernel_size: int) -> None:
        super().__init__()
        self.ca = ChannelAttention(channels, ratio)
        self.sa = SpatialAttention(kernel_size)

    def forward(self, batch: Tensor) -> Tensor:
        """(batch, channels, mels, frames), same shape out."""
        batch = self.ca(batch) * batch
        return self.sa(batch) * batch


class AuxiliaryHead(nn.Module):
    """Global mean of one skip block's features, then a head of its own; trained with, not used at prediction."""

    def __init__(self, channels: int, width: int, n_classes: int, dropout: float) -> None:
        super().__init__()
        self.fc = _head(channels, width, n_classes, dropout)

    def forward(self, batch: Tensor) -> Tensor:
        """(batch, channels, mels, frames) -> logits (batch, classes)."""
        return self.fc(batch.mean((2, 3)))


class FrameRecurrence(nn.Module):
    """The mean over mels read as a sequence by a bidirectional LSTM, embedded at every step, then averaged."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.rnn = nn.LSTM(size, size, bidirectional=True, batch_first=True)
        self.embedding = nn.Linear(2 * size, size)

    def forward(self, batch: Tensor) -> Tensor:
        """(batch, size, mels, frames) -> (batch, size)."""
        states, _ = self.rnn(batch.mean(2).transpose(1, 2))
        return self.embedding(states).mean(1)


class SkipAttention(nn.Module):
    """All four blocks seen by the attention at the size of the last: argus' network without auxiliary heads."""

    Settings: ClassVar[type] = ArgusSettings
    in_channels: ClassVar[int] = 3

    def __init__(self, settings: ArgusSettings, n_classes: int) -> None:
        super().__init__()
        base = settings.base_size
        self.conv1 = ConvolutionBlock(self.in_channels, base)
        self.skip1 = SkipBlock(base, 8 * base, 8)
        self.conv2 = ConvolutionBlock(base, 2 * base)
        self.skip2 = SkipBlock(2 * base, 8 * base, 4)
        self.conv3 = ConvolutionBlock(2 * base, 4 * base)
        self.skip3 = SkipBlock(4 * base, 8 * base, 2)
        self.conv4 = ConvolutionBlock(4 * base, 8 * base)
        self.attention = Attention(32 * base, settings.ratio, settings.kernel_size)
        self.merge = SkipBlock(32 * base, base * settings.last_filters)
        width = base * settings.last_fc
        self.fc = _head(base * settings.last_filters, width, n_classes, settings.dropout)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The blocks that overlapping windows can share: two convolutions of 3 x 3 each, halved."""
        return tuple(Stage(block, reach=2, stride=2) for block in self._blocks)

    @property
    def _blocks(self) -> tuple[ConvolutionBlock, ...]:
        return self.conv1, self.conv2, self.conv3, self.conv4

    def entrance(self, batch: Tensor) -> Tensor:
        """What the first block takes: the batch (batch, 3, mels, frames) itself."""
        return batch

    def forward(self, batch: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Logits (batch, classes) of inputs (batch, 3, mels, frames) with at least 16 mels and 16 frames."""
        maps: list[Tensor] = []
        for stage in self.stages:
            maps.append(stage.layer(maps[-1] if maps else batch))
        return self.after_stages(maps)

    def after_stages(self, maps: Sequence[Tensor]) -> Tensor | tuple[Tensor, ...]:
        """Logits (batch, classes) of what the four blocks give."""
        merged, _ = self.features(maps)
        return self.fc(self.summary(merged))

    def features(self, maps: Sequence[Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
        """The merged map of all blocks (batch, channels, mels // 16, frames // 16), and the three skip maps."""
        x1, x2, x3, x4 = maps
        skips = self.skip1(x1), self.skip2(x2), self.skip3(x3)
        return self.merge(self.attention(torch.cat([x4, *skips], 1))), skips

    def summary(self, merged: Tensor) -> Tensor:
        """What the main head sees of the merged map: (batch, channels)."""
        return merged.mean((2, 3))


class AuxSkipAttention(SkipAttention):
    """SkipAttention with a head on each skip block, which trains with weights 0.4, 0.2 and 0.1, deepest first."""

    def __init__(self, settings: ArgusSettings, n_classes: int) -> None:
        super().__init__(settings, n_classes)
        sizes = 8 * settings.base_size, settings.base_size * settings.last_fc, n_classes, settings.dropout
        self.aux1 = AuxiliaryHead(*sizes)
        self.aux2 = AuxiliaryHead(*sizes)
        self.aux3 = AuxiliaryHead(*sizes)

    def after_stages(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Logits (batch, classes) of the final head, then of aux3, aux2 and aux1; prediction uses the first."""
        merged, (skip1, skip2, skip3) = self.features(maps)
        final = self.fc(self.summary(merged))
        return final, self.aux3(skip3), self.aux2(skip2), self.aux1(skip1)


class RnnAuxSkipAttention(AuxSkipAttention):
    """AuxSkipAttention whose main head sees the merged map through a recurrent layer."""

    def __init__(self, settings: ArgusSettings, n_classes: int) -> None:
        super().__init__(settings, n_classes)
        self.rnn = FrameRecurrence(settings.base_size * settings.last_filters)

    def summary(self, merged: Tensor) -> Tensor:
        """The recurrent summary in place of the global mean: (batch, channels)."""
        return self.rnn(merged)


def _head(channels: int, width: int, n_classes: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Dropout(dropout),
        nn.Linear(channels, width),
        nn.PReLU(),
        nn.BatchNorm1d(width),
        nn.Dropout(dropout / 2),
        nn.Linear(width, n_classes),
    )
