"""The second level of argus: a small gated network over the concatenated probabilities of the first level.

Source: systems specification of lRomul/argus-freesound, section (e). Names of the state dict are those of its
checkpoints.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from soundpost.models.layers import Gate


@dataclass(frozen=True)
class FCNetSettings:
    """Sizes of the network; the class defaults, for seven first-level members of 80 classes."""

    in_channels: int = 560  # inputs * classes: columns of the first level side by side
    base_size: int = 64  # width of the second hidden layer; the first has twice as many
    reduction_scale: int = 8  # the gate squeezes in_channels to this fraction; 1 does not squeeze
    p_dropout: float | None = 0.2  # behind each hidden layer; None, as published, and 0 mean no dropout


class FCNet(nn.Module):
    """Gated columns, then three linear layers with one PReLU slope each."""

    Settings: ClassVar[type] = FCNetSettings

    def __init__(self, settings: FCNetSettings, n_classes: int) -> None:
        super().__init__()
        base = settings.base_size
        self.scale = Gate(settings.in_channels, settings.in_channels // settings.reduction_scale)
        self.linear1 = nn.Linear(settings.in_channels, 2 * base)
        self.relu1 = nn.PReLU()
        self.linear2 = nn.Linear(2 * base, base)
        self.relu2 = nn.PReLU()
        self.dropout = nn.Dropout(settings.p_dropout) if settings.p_dropout else nn.Identity()
        self.fc = nn.Linear(base, n_classes)

    def forward(self, batch: Tensor) -> Tensor:
        """Logits (batch, classes) of first-level probabilities (batch, inputs, classes) or (batch, columns)."""
        rows = batch.flatten(1)
        rows = self.scale(rows) * rows
        rows = self.dropout(self.relu1(self.linear1(rows)))
        rows = self.dropout(self.relu2(self.linear2(rows)))
        return self.fc(rows)
