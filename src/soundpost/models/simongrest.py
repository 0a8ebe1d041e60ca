"""The densely connected network with squeeze and excitation of simongrest, 44th place of Freesound 2019.

Source: systems specification of simongrest's notebooks; block after cochlear.ai's network for DCASE 2018 task 2. Names
of the state dict are those of its weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from soundpost.errors import ShapeError
from soundpost.models.trainable_pcen import TrainablePcen


@dataclass(frozen=True)
class SimongrestSettings:
    """Sizes of the network; with eight blocks it takes maps of 256 to 511 bins and frames."""

    base: int = 16  # channels in front of the first block, which adds as many
    cap: int = 512  # channels that a block adds at most; until there each adds twice as many as the one before
    blocks: int = 8  # each halves both axes; behind the last one cell is left
    heads: int = 8  # linear layers whose logits are averaged
    # Smoothing, gain, bias, power and eps with which a trainable PCEN begins; none: the front end has normalised.
    pcen: tuple[float, ...] = ()


class DenseBlock(nn.Module):
    """Its input and, behind it, new channels, each of which is scaled by a factor from the means of all new ones."""

    def __init__(self, channels: int, added: int) -> None:
        super().__init__()
        self.dense_layers = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, added, 3, padding=1, bias=False),
        )
        self.se_layers = nn.Sequential(
            nn.Linear(added, added // 2, bias=False),
            nn.ReLU(),
            nn.Linear(added // 2, added, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, batch: Tensor) -> Tensor:
        """(batch, channels, bins, frames) -> (batch, channels + added, bins, frames)."""
        new = self.dense_layers(batch)
        factors = self.se_layers(new.mean((2, 3)))
        return torch.cat([batch, new * factors[:, :, None, None]], 1)


class Simongrest(nn.Module):
    """Dense blocks, each followed by a maximum over two by two cells, down to one cell of 2048 channels."""

    Settings: ClassVar[type] = SimongrestSettings

    def __init__(self, settings: SimongrestSettings, n_classes: int) -> None:
        super().__init__()
        self.sizes = 2**settings.blocks, 2 ** (settings.blocks + 1) - 1
        self.pcen: nn.Module = nn.Identity()
        if settings.pcen:
            s, alpha, delta, r, eps = settings.pcen
            self.pcen = TrainablePcen(s, alpha, delta, r, eps)
        self.first_conv = nn.Conv2d(1, settings.base - 1, 3, padding=1, bias=False)
        layers: list[nn.Module] = []
        channels = settings.base
        for i in range(settings.blocks):
            added = min(settings.cap, settings.base * 2**i)
            layers += [DenseBlock(channels, added), nn.MaxPool2d(2)]
            channels += added
        self.se_dense_layers = nn.Sequential(*layers)
        self.linears = nn.ModuleList(nn.Linear(channels, n_classes) for _ in range(settings.heads))

    def forward(self, batch: Tensor) -> Tensor:
        """Logits (batch, classes) of normalised spectrograms (batch, 1, bins, frames), or of mel power for PCEN.

        Raises:
            ShapeError: so few or so many bins or frames that not one cell is left.
        """
        _check_sizes(batch, self.sizes)
        batch = self.pcen(batch)
        maps = self.se_dense_layers(torch.cat([batch, self.first_conv(batch)], 1))
        features = maps.flatten(1)
        return torch.stack([linear(features) for linear in self.linears]).mean(0)


def _check_sizes(batch: Tensor, sizes: Sequence[int]) -> None:
    """Refuse spectrograms of which other than one cell would be left.

    Args:
        batch: (batch, 1, bins, frames).
        sizes: fewest and most bins and frames.

    Raises:
        ShapeError: bins or frames outside.
    """
    if not all(sizes[0] <= size <= sizes[1] for size in batch.shape[2:]):
        raise ShapeError(
            f"simongrest got a batch of shape {tuple(batch.shape)}; bins and frames must lie in {sizes[0]} ... "
            f"{sizes[1]}. Use a view that cuts windows of such a size."
        )
