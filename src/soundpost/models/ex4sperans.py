"""The networks of ex4sperans: every block from a chosen one on is summarised, and all summaries are classified.

The 2-D network reads mel bands beside a map of their frequency, the 1-D network reads bins as channels over time.

Source: systems specification of ex4sperans/freesound-classification (third place, Freesound 2019) at 71b9920. Names of
the state dict are those of its checkpoints.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from soundpost.errors import SettingsError
from soundpost.functional.strips import Stage
from soundpost.models.layers import classifier

GRU_SIZE = 128  # states of each direction


@dataclass(frozen=True)
class Ex4speransSettings:
    """Sizes of the network; the defaults of the published script."""

    blocks: int = 5  # each halves the bins and the frames, so a clip needs 2 ** blocks frames
    base: int = 64  # channels of the first block
    growth: float = 2.0  # block k has int(growth ** k * base) channels
    start: int = 2  # first block that is summarised, counted from 0
    aggregation: str = "max"  # "max": global maximum; "rnn": last states of a recurrent layer
    output_dropout: float = 0.0  # before the last linear layer
    bins: int = 129  # bins of the front end, which the 1-D network takes as channels; the 2-D network takes any

    @property
    def depths(self) -> tuple[int, ...]:
        """Channels of each block."""
        return tuple(int(self.growth**k * self.base) for k in range(self.blocks))


class Dimension(NamedTuple):
    """The layers of a network over planes or over lines."""

    convolution: type[nn.Module]
    norm: type[nn.Module]
    pool: type[nn.Module]


PLANE = Dimension(nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d)
LINE = Dimension(nn.Conv1d, nn.BatchNorm1d, nn.MaxPool1d)


class ResidualBlock(nn.Module):
    """Convolutions of size 1, 3 and 1 with batch norm around a shortcut, all of the same width."""

    def __init__(self, channels: int, dimension: Dimension) -> None:
        super().__init__()
        self.conv1 = dimension.convolution(channels, channels, 1)
        self.bn1 = dimension.norm(channels)
        self.prelu1 = nn.PReLU(channels)
        self.conv2 = dimension.convolution(channels, channels, 3, padding=1)
        self.bn2 = dimension.norm(channels)
        self.prelu2 = nn.PReLU(channels)
        self.conv3 = dimension.convolution(channels, channels, 1)
        self.bn3 = dimension.norm(channels)
        self.prelu3 = nn.PReLU(channels)

    def forward(self, batch: Tensor) -> Tensor:
        """(batch, channels, ...), same shape out."""
        result = self.prelu1(self.bn1(self.conv1(batch)))
        result = self.prelu2(self.bn2(self.conv2(result)))
        return self.prelu3(self.bn3(self.conv3(result)) + batch)


class HierarchicalNetwork(nn.Module):
    """What the 1-D and the 2-D network share: blocks, their summaries, the classifier."""

    Settings: ClassVar[type] = Ex4speransSettings
    dimension: ClassVar[Dimension]

    def __init__(self, settings: Ex4speransSettings, n_classes: int, in_channels: int) -> None:
        super().__init__()
        if settings.aggregation not in ("max", "rnn"):
            raise SettingsError(f"aggregation '{settings.aggregation}' is not known; known: max, rnn. Correct [model].")
        self.start, depths = settings.start, settings.depths
        inputs = (in_channels, *depths[:-1])
        self.conv_modules = nn.ModuleList(_block(i, o, self.dimension) for i, o in zip(inputs, depths, strict=True))
        summarised = depths[self.start :]
        self.rnns: nn.ModuleList | None = None
        width = sum(summarised)
        if settings.aggregation == "rnn":
            self.rnns = nn.ModuleList(
                nn.Sequential(nn.LayerNorm(d), nn.GRU(d, GRU_SIZE, batch_first=True, bidirectional=True))
                for d in summarised
            )
            width = 2 * GRU_SIZE * len(summarised)
        self.output_transform = classifier(width, n_classes, settings.output_dropout)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """All blocks: a convolution of three cells, halved, then a residual block with another one."""
        return tuple(Stage(block, reach=3, stride=2) for block in self.conv_modules)

    def entrance(self, batch: Tensor) -> Tensor:
        """What the first block takes of a batch (batch, 1, bins, frames): (batch, channels, ..., frames)."""
        raise NotImplementedError

    def forward(self, batch: Tensor) -> Tensor:
        """Logits (batch, classes) of natural log amplitudes (batch, 1, bins, frames); lowest frequency first."""
        maps: list[Tensor] = []
        for stage in self.stages:
            maps.append(stage.layer(maps[-1] if maps else self.entrance(batch)))
        return self.after_stages(maps)

    def after_stages(self, maps: Sequence[Tensor]) -> Tensor:
        """Logits (batch, classes) of what every block gives."""
        summaries = [self._summary(features, index) for index, features in enumerate(maps[self.start :])]
        logits: Tensor = self.output_transform(torch.cat(summaries, 1))
        return logits

    def _summary(self, features: Tensor, index: int) -> Tensor:
        if self.rnns is None:
            return features.flatten(2).amax(2)
        sequence = features.mean(2) if features.dim() == 4 else features
        _, states = self.rnns[index](sequence.transpose(1, 2))
        return torch.cat([states[0], states[1]], 1)


class Ex4sperans2d(HierarchicalNetwork):
    """Planes of bins and frames; a second channel tells each cell its frequency, from -1 to 1."""

    dimension: ClassVar[Dimension] = PLANE

    def __init__(self, settings: Ex4speransSettings, n_classes: int) -> None:
        super().__init__(settings, n_classes, in_channels=2)

    def entrance(self, batch: Tensor) -> Tensor:
        """(batch, 1, bins, frames) and the frequency of every cell: (batch, 2, bins, frames)."""
        frequency = torch.linspace(-1, 1, batch.shape[2], device=batch.device, dtype=batch.dtype)
        coordinate = frequency[:, None].expand(batch.shape[0], 1, -1, batch.shape[3])
        return torch.cat([batch, coordinate], 1)


class Ex4sperans1d(HierarchicalNetwork):
    """Bins as channels, convolved along time alone."""

    dimension: ClassVar[Dimension] = LINE

    def __init__(self, settings: Ex4speransSettings, n_classes: int) -> None:
        super().__init__(settings, n_classes, in_channels=settings.bins)

    def entrance(self, batch: Tensor) -> Tensor:
        """Bins as channels: (batch, bins, frames)."""
        return batch[:, 0]


def _block(in_channels: int, out_channels: int, dimension: Dimension) -> nn.Sequential:
    return nn.Sequential(
        dimension.norm(in_channels),
        dimension.convolution(in_channels, out_channels, 3, padding=1),
        dimension.pool(2),
        dimension.norm(out_channels),
        nn.PReLU(out_channels),
        ResidualBlock(out_channels, dimension),
    )
