"""The networks of qrfaction: nine convolutions over a log-mel image, two recurrent layers over global statistics.

Inside, axes are (batch, channels, frames, mels), as the names and shapes of its weights want them.

Source: systems specification of qrfaction/1st-Freesound-Audio-Tagging-2019 (second place) at 0ec2577. Its Keras weights
have no names that say what they are; those of the state dict are given by the specification, section 5.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from soundpost.errors import SettingsError
from soundpost.functional.qrfaction_layout import STATISTICS, unpack
from soundpost.models.layers import Gate

NETWORKS = ("conv", "se", "msc", "concat", "se_cat")
EPSILON = 1e-3  # what every batch norm adds to a variance, as Keras does
# Pooling pairs: (average or max, along frames or mels), in the order of computation.
PAIRS = {
    "avemax1": (("average", "frames"), ("max", "mels")),
    "avemax2": (("average", "mels"), ("max", "frames")),
    "avemax3": (("max", "mels"), ("average", "frames")),
    "avemax4": (("max", "frames"), ("average", "mels")),
    "max": (("max", "both"),),
    "ave": (("average", "both"),),
}


@dataclass(frozen=True)
class QrfactionSettings:
    """Which of the published networks, and its sizes."""

    network: str = "conv"  # "conv", "se" (squeeze-excite), "msc" (three kernel sizes first), "concat", "se_cat"
    pool: str = "avemax1"  # a name in PAIRS: how the map shrinks between the blocks
    width_ratio: float = 1.0  # times the channels of the four blocks; "msc" alone was published with another
    rnn_unit: int = 128  # states of the recurrent layers


class SqueezeExcite(Gate):
    """A factor for each channel from the means of all channels."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels // 4)

    def forward(self, batch: Tensor) -> Tensor:
        """(batch, channels, frames, mels), same shape out."""
        return batch * super().forward(batch.mean((2, 3)))[:, :, None, None]


class Stem(nn.Module):
    """The first convolution, or three of different sizes side by side."""

    def __init__(self, network: str) -> None:
        super().__init__()
        sizes = (3, 5, 7) if network == "msc" else (3,)
        width = 32 if network == "msc" else 64
        self.names = [f"conv{size}" if network == "msc" else "conv" for size in sizes]
        for name, size in zip(self.names, sizes, strict=True):
            setattr(self, name, nn.Conv2d(1, width, size, padding=size // 2, bias=False))
        self.channels = width * len(sizes)
        self.bn = _norm(self.channels)
        self.se = _squeeze(network, self.channels)

    def forward(self, images: Tensor) -> Tensor:
        """(batch, 1, frames, mels) -> (batch, channels, frames, mels)."""
        convolved = torch.cat([getattr(self, name)(images) for name in self.names], 1)
        return self.se(F.relu(self.bn(convolved)))


class Block(nn.Module):
    """Two convolutions; the networks that concatenate join both outputs by a third one of size 1."""

    def __init__(self, network: str, in_channels: int, channels: int, pool: str, pool_size: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, padding=1)
        self.bn1 = _norm(channels)
        self.se1 = _squeeze(network, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.bn2 = _norm(channels)
        self.se2 = _squeeze(network, channels)
        self.proj = nn.Conv2d(2 * channels, channels, 1) if network in ("concat", "se_cat") else None
        self.pool, self.pool_size = pool, pool_size

    def forward(self, batch: Tensor) -> Tensor:
        """(batch, in_channels, frames, mels) -> (batch, channels, ...), halved unless pool_size is 0."""
        first = self.se1(F.relu(self.bn1(self.conv1(batch))))
        if self.pool_size:
            first = pool_same(first, "max", 3, 1)
        second = self.se2(F.relu(self.bn2(self.conv2(first))))
        if self.proj is not None:
            second = self.proj(torch.cat([first, second], 1))
        return pool_same(second, self.pool, self.pool_size, 2) if self.pool_size else second


class Qrfaction(nn.Module):
    """Image, statistics and length of one segment to logits."""

    Settings: ClassVar[type] = QrfactionSettings

    def __init__(self, settings: QrfactionSettings, n_classes: int) -> None:
        super().__init__()
        if settings.network not in NETWORKS or settings.pool not in PAIRS:
            raise SettingsError(
                f"network '{settings.network}' with pool '{settings.pool}'; known: {', '.join(NETWORKS)} with "
                f"{', '.join(PAIRS)}. Correct [model]."
            )
        self.gfeat_bn = nn.BatchNorm1d(STATISTICS, eps=EPSILON, momentum=0.01)
        self.gru1 = nn.GRU(STATISTICS, settings.rnn_unit, batch_first=True, bidirectional=True)
        self.gru2 = nn.GRU(settings.rnn_unit, settings.rnn_unit, batch_first=True, bidirectional=True)
        self.stem = Stem(settings.network)
        widths = [int(width * settings.width_ratio) for width in (96, 128, 256, 512)]
        inputs = (self.stem.channels, *widths[:-1])
        self.blocks = nn.ModuleList(
            Block(settings.network, i, o, settings.pool, size)
            for i, o, size in zip(inputs, widths, (2, 2, 3, 0), strict=True)
        )
        self.head = nn.Linear(2 * widths[-1] + settings.rnn_unit + 1, n_classes)

    def forward(self, batch: Tensor) -> Tensor:
        """Logits (batch, classes) of segments (batch, 1, mels, frames + side columns) as qrfaction_input packs them."""
        images, statistics, lengths = unpack(batch)
        return self.head(torch.cat([self.image_features(images), self.statistic_features(statistics), lengths], 1))

    def image_features(self, images: Tensor) -> Tensor:
        """(batch, 1, mels, frames) in dB -> (batch, 2 * channels of the last block)."""
        features = self.stem(images.transpose(2, 3))
        for block in self.blocks:
            features = block(features)
        # Two neighbouring mel columns become channels, those of the even column first.
        folded = torch.cat([features[..., 0::2], features[..., 1::2]], 1)
        return folded.amax(2).mean(2)

    def statistic_features(self, statistics: Tensor) -> Tensor:
        """(batch, steps, statistics) -> (batch, rnn_unit)."""
        sequence = self.gfeat_bn(statistics.transpose(1, 2)).transpose(1, 2)
        for gru in (self.gru1, self.gru2):
            states, _ = gru(sequence)
            forward, backward = states.chunk(2, dim=2)
            sequence = forward + backward
        return sequence.amax(1)


def pool_same(batch: Tensor, mode: str, size: int, stride: int) -> Tensor:
    """Pooling with the padding that Keras calls same: ceil(n / stride) cells, an odd padded cell lies at the end.

    Padded cells are no maximum and do not count in an average.

    Args:
        batch: (batch, channels, frames, mels).
        mode: a name in PAIRS.
        size: cells pooled, along each axis of the mode.
        stride: cells, along the same axes.
    """
    for kind, axis in PAIRS[mode]:
        sizes = (size if axis != "mels" else 1, size if axis != "frames" else 1)
        strides = (stride if axis != "mels" else 1, stride if axis != "frames" else 1)
        # Rounding the output size up pads the end by one cell more than the beginning, where that is needed.
        before = tuple(
            max(0, (-(-n // s) - 1) * s + p - n) // 2 for n, p, s in zip(batch.shape[2:], sizes, strides, strict=True)
        )
        if kind == "max":
            batch = F.max_pool2d(batch, sizes, strides, before, ceil_mode=True)
        else:
            batch = F.avg_pool2d(batch, sizes, strides, before, ceil_mode=True, count_include_pad=False)
    return batch


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=EPSILON, momentum=0.15)


def _squeeze(network: str, channels: int) -> nn.Module:
    return SqueezeExcite(channels) if network in ("se", "msc", "se_cat") else nn.Identity()
