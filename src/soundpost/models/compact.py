"""The kit's own small network: any length in, level taken out of every clip, residual stages, pooling over time."""

from dataclasses import dataclass
from math import log
from typing import ClassVar

import torch
from torch import Tensor, nn

NATURAL_PER_DB = log(10) / 10  # natural log of a power ratio, per dB


@dataclass(frozen=True)
class CompactSettings:
    """Sizes of the network; about 200,000 parameters as they stand."""

    bins: int = 64  # mel bands of the front end
    widths: tuple[int, ...] = (24, 40, 64, 80)  # channels of the stages
    strides: tuple[int, ...] = (1, 2, 2, 2)  # steps of the first convolution of each stage, on both axes
    floor_db: float = 60.0  # dB; what is further below the clip's mean power is silence
    dropout: float = 0.2  # fraction of pooled features dropped in training


class Level(nn.Module):
    """Spectrograms relative to their own power: one channel to the clip's mean, one to each band's mean.

    The first keeps the colour of the sound and forgets its level; the second forgets the colour of room and microphone
    too and keeps what moves. Both are the clip's own: no batch mate and no running statistic enters.
    """

    def __init__(self, floor_db: float) -> None:
        super().__init__()
        self.floor_db = floor_db

    def forward(self, log_mels: Tensor) -> Tensor:
        """(batch, 1, mels, frames) in dB -> (batch, 2, mels, frames), about -2 ... 2."""
        natural = log_mels.float() * NATURAL_PER_DB
        in_clip = _log_mean_exp(natural, (2, 3))
        relative = ((natural - in_clip) / NATURAL_PER_DB).clamp(min=-self.floor_db)
        in_band = _log_mean_exp(relative * NATURAL_PER_DB, (3,)) / NATURAL_PER_DB
        moving = (relative - in_band).clamp(min=-self.floor_db)
        return torch.cat([relative / 20 + 1, moving / 20 + 0.5], dim=1)


class Residual(nn.Module):
    """Two 3 x 3 convolutions around a shortcut that averages where they stride."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.pool = nn.AvgPool2d(stride, ceil_mode=True) if stride > 1 else nn.Identity()
        self.match = nn.Conv2d(channels, width, 1, bias=False) if channels != width else nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        """(batch, channels, bins, frames) -> (batch, width, bins / stride, frames / stride), rounded up."""
        inner = torch.relu(self.norm1(self.conv1(maps)))
        return torch.relu(self.norm2(self.conv2(inner)) + self.match(self.pool(maps)))


class Compact(nn.Module):
    """Tags a clip of any length; a row's logits are the same alone and in any batch."""

    Settings: ClassVar[type] = CompactSettings

    def __init__(self, settings: CompactSettings, n_classes: int) -> None:
        super().__init__()
        first, last = settings.widths[0], settings.widths[-1]
        self.level = Level(settings.floor_db)
        self.stem = nn.Conv2d(2, first, 3, 2, 1, bias=False)
        self.stem_norm = nn.BatchNorm2d(first)
        # A place on the frequency axis: the same shape of sound means another label at another pitch.
        self.place = nn.Parameter(torch.zeros(1, first, -(-settings.bins // 2), 1))
        channels = (first, *settings.widths)
        self.stages = nn.Sequential(
            *(
                Residual(before, width, stride)
                for before, width, stride in zip(channels, settings.widths, settings.strides, strict=False)
            )
        )
        self.dropout = nn.Dropout(settings.dropout)
        self.attention = nn.Conv1d(last, n_classes, 1)
        self.presence = nn.Conv1d(last, n_classes, 1)
        self.overall = nn.Linear(2 * last, n_classes)

    def forward(self, log_mels: Tensor) -> Tensor:
        """(batch, 1, mels, frames) in dB -> logits (batch, classes)."""
        maps = self.stem_norm(self.stem(self.level(log_mels)))
        maps = torch.relu(maps + self.place.to(maps.dtype))
        maps = self.stages(maps)
        steps = self.dropout(maps.mean(2) + maps.amax(2))
        # Attention says for each class which moments speak for it; mean and maximum say what the whole is like.
        weights = torch.softmax(self.attention(steps), dim=2)
        heard = (self.presence(steps) * weights).sum(2)
        return heard + self.overall(torch.cat([steps.mean(2), steps.amax(2)], dim=1))


def _log_mean_exp(values: Tensor, axes: tuple[int, ...]) -> Tensor:
    count = 1
    for axis in axes:
        count *= values.shape[axis]
    return torch.logsumexp(values, dim=axes, keepdim=True) - log(count)
