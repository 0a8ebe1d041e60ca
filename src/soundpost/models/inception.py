"""Inception v3, of which Freesound 2019's seventh place blended two: over three equal planes and over one.

Source: Szegedy et al. 2015 in torchvision's form, whose state-dict names these are, without the auxiliary head: a
picture of 128 x 128 is too small for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Branch = tuple[tuple[str, int, tuple[int, int], int], ...]  # name, channels, kernel, stride of one layer after another

EPSILON = 1e-3  # what batch norms add to a variance


@dataclass(frozen=True)
class InceptionSettings:
    """What the network takes."""

    channels: int = 3  # equal planes that it sees of a picture of one: three, or one
    dropout: float = 0.5  # before the linear layer
    width_ratio: float = 1.0  # factor of all channels inside, for networks smaller than the published


class NormedConvolution(nn.Module):
    """A convolution, batch norm and ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel: tuple[int, int], stride: int, pads: bool) -> None:
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2) if pads else (0, 0)
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(out_channels, eps=EPSILON)

    def forward(self, batch: Tensor) -> Tensor:
        """(batch, channels, mels, frames) -> (batch, out_channels, ...) as kernel, stride and padding say."""
        return F.relu(self.bn(self.conv(batch)))


class Mixed(nn.Module):
    """Several branches over one map, side by side; the last is a mean of neighbours, or a maximum where it shrinks.

    Args:
        in_channels: how many the map has.
        branches: layers of each; a layer whose name ends in "a" and its successor read the same map, side by side.
        pooled: channels of the layer behind the mean; 0 takes a maximum over every other cell instead.
    """

    def __init__(self, in_channels: int, branches: Sequence[Branch], pooled: int) -> None:
        super().__init__()
        self.branches = [[name for name, *_ in branch] for branch in branches]
        self.out_channels = pooled or in_channels
        for branch in branches:
            channels, out_channels = in_channels, 0
            for name, width, kernel, stride in branch:
                self.add_module(name, NormedConvolution(channels, width, kernel, stride, pads=stride == 1))
                out_channels = width + (out_channels if _is_twin(name) else 0)
                channels = channels if _has_twin(name) else width
            self.out_channels += out_channels
        if pooled:
            self.branch_pool = NormedConvolution(in_channels, pooled, (1, 1), 1, pads=True)

    def forward(self, batch: Tensor) -> Tensor:
        """(batch, in_channels, mels, frames) -> (batch, out_channels, ...), of the same size or half of it."""
        results = [self._run(batch, names) for names in self.branches]
        if hasattr(self, "branch_pool"):
            results.append(self.branch_pool(F.avg_pool2d(batch, 3, 1, 1)))
        else:
            results.append(F.max_pool2d(batch, 3, 2))
        return torch.cat(results, 1)

    def _run(self, batch: Tensor, names: Sequence[str]) -> Tensor:
        twin = None
        for name in names:
            layer = self.get_submodule(name)
            if _has_twin(name):
                twin = layer(batch)
            elif twin is not None:
                batch = torch.cat([twin, layer(batch)], 1)
            else:
                batch = layer(batch)
        return batch


class Inception(nn.Module):
    """Stem, eleven mixed blocks, global mean, one linear layer."""

    Settings: ClassVar[type] = InceptionSettings

    # The stem, whose parts carry torchvision's names.
    Conv2d_1a_3x3: NormedConvolution
    Conv2d_2a_3x3: NormedConvolution
    Conv2d_2b_3x3: NormedConvolution
    Conv2d_3b_1x1: NormedConvolution
    Conv2d_4a_3x3: NormedConvolution

    def __init__(self, settings: InceptionSettings, n_classes: int) -> None:
        super().__init__()
        ratio = settings.width_ratio
        self.channels = channels = settings.channels
        for name, width, kernel, stride, pads in (
            ("Conv2d_1a_3x3", 32, (3, 3), 2, False),
            ("Conv2d_2a_3x3", 32, (3, 3), 1, False),
            ("Conv2d_2b_3x3", 64, (3, 3), 1, True),
            ("Conv2d_3b_1x1", 80, (1, 1), 1, False),
            ("Conv2d_4a_3x3", 192, (3, 3), 1, False),
        ):
            self.add_module(name, NormedConvolution(channels, int(ratio * width), kernel, stride, pads))
            channels = int(ratio * width)
        self.mixed: list[str] = []
        for letter, branches, pooled in MIXED:
            block = Mixed(channels, [_narrowed(branch, ratio) for branch in branches], int(ratio * pooled))
            self.mixed.append(f"Mixed_{letter}")
            self.add_module(self.mixed[-1], block)
            channels = block.out_channels
        self.dropout = nn.Dropout(settings.dropout)
        self.fc = nn.Linear(channels, n_classes)

    def forward(self, batch: Tensor) -> Tensor:
        """Logits (batch, classes) of pictures (batch, 1 or channels, mels, frames) with at least 75 mels and frames."""
        batch = batch.expand(-1, self.channels, -1, -1)
        batch = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(batch)))
        batch = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(batch, 3, 2)))
        batch = F.max_pool2d(batch, 3, 2)
        for name in self.mixed:
            batch = self.get_submodule(name)(batch)
        return self.fc(self.dropout(batch.mean((2, 3))))


def _has_twin(name: str) -> bool:
    return name.endswith("a")


def _narrowed(branch: Branch, ratio: float) -> Branch:
    return tuple((name, int(ratio * width), kernel, stride) for name, width, kernel, stride in branch)


def _is_twin(name: str) -> bool:
    return name.endswith("b")


def _small(pooled: int, letter: str) -> tuple[str, tuple[Branch, ...], int]:
    """Blocks of 5 x 5 and of two 3 x 3 convolutions."""
    branches = (
        (("branch1x1", 64, (1, 1), 1),),
        (("branch5x5_1", 48, (1, 1), 1), ("branch5x5_2", 64, (5, 5), 1)),
        (("branch3x3dbl_1", 64, (1, 1), 1), ("branch3x3dbl_2", 96, (3, 3), 1), ("branch3x3dbl_3", 96, (3, 3), 1)),
    )
    return letter, branches, pooled


def _crossed(width: int, letter: str) -> tuple[str, tuple[Branch, ...], int]:
    """Blocks of 7 x 7 convolutions taken apart into rows and columns."""
    row, column = (1, 7), (7, 1)
    branches = (
        (("branch1x1", 192, (1, 1), 1),),
        (("branch7x7_1", width, (1, 1), 1), ("branch7x7_2", width, row, 1), ("branch7x7_3", 192, column, 1)),
        (
            ("branch7x7dbl_1", width, (1, 1), 1),
            ("branch7x7dbl_2", width, column, 1),
            ("branch7x7dbl_3", width, row, 1),
            ("branch7x7dbl_4", width, column, 1),
            ("branch7x7dbl_5", 192, row, 1),
        ),
    )
    return letter, branches, 192


def _wide(letter: str) -> tuple[str, tuple[Branch, ...], int]:
    """Blocks whose 3 x 3 convolutions end in a row and a column side by side."""
    branches = (
        (("branch1x1", 320, (1, 1), 1),),
        (("branch3x3_1", 384, (1, 1), 1), ("branch3x3_2a", 384, (1, 3), 1), ("branch3x3_2b", 384, (3, 1), 1)),
        (
            ("branch3x3dbl_1", 448, (1, 1), 1),
            ("branch3x3dbl_2", 384, (3, 3), 1),
            ("branch3x3dbl_3a", 384, (1, 3), 1),
            ("branch3x3dbl_3b", 384, (3, 1), 1),
        ),
    )
    return letter, branches, 192


# Letter in the state dict, branches, channels behind the mean.
MIXED: tuple[tuple[str, tuple[Branch, ...], int], ...] = (
    _small(32, "5b"),
    _small(64, "5c"),
    _small(64, "5d"),
    (
        "6a",
        (
            (("branch3x3", 384, (3, 3), 2),),
            (("branch3x3dbl_1", 64, (1, 1), 1), ("branch3x3dbl_2", 96, (3, 3), 1), ("branch3x3dbl_3", 96, (3, 3), 2)),
        ),
        0,
    ),
    _crossed(128, "6b"),
    _crossed(160, "6c"),
    _crossed(160, "6d"),
    _crossed(192, "6e"),
    (
        "7a",
        (
            (("branch3x3_1", 192, (1, 1), 1), ("branch3x3_2", 320, (3, 3), 2)),
            (
                ("branch7x7x3_1", 192, (1, 1), 1),
                ("branch7x7x3_2", 192, (1, 7), 1),
                ("branch7x7x3_3", 192, (7, 1), 1),
                ("branch7x7x3_4", 192, (3, 3), 2),
            ),
        ),
        0,
    ),
    _wide("7b"),
    _wide("7c"),
)
