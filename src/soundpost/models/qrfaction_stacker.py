"""The second level of qrfaction: a linear mix of inputs for each class, then a linear mix of classes.

Source: systems specification of qrfaction/1st-Freesound-Audio-Tagging-2019, section 7.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

SHIFT = 1.6  # (tanh(y - 1.6) + 1) / 2 is the sigmoid of 2 (y - 1.6)


@dataclass(frozen=True)
class StackerSettings:
    """Sizes of the network."""

    n_inputs: int = 7  # six networks and, last, their weighted mean


class LocalMix(nn.Module):
    """A weight for each class and input; starts as the last input alone."""

    def __init__(self, n_classes: int, n_inputs: int) -> None:
        super().__init__()
        weight = torch.zeros(n_classes, n_inputs)
        weight[:, -1] = 1.0
        self.weight = nn.Parameter(weight)

    def forward(self, batch: Tensor) -> Tensor:
        """(batch, inputs, classes) -> (batch, classes)."""
        return torch.einsum("bic,ci->bc", batch, self.weight)

    @torch.no_grad()
    def constrain(self) -> None:
        """Bring the weights of each class to length 1, as training does after every step."""
        self.weight.div_(self.weight.norm(dim=1, keepdim=True))


class Stacker(nn.Module):
    """Probabilities of the first level to logits; untrained it keeps the ranking of its last input."""

    Settings: ClassVar[type] = StackerSettings

    def __init__(self, settings: StackerSettings, n_classes: int) -> None:
        super().__init__()
        self.local = LocalMix(n_classes, settings.n_inputs)
        self.dense = nn.Linear(n_classes, n_classes, bias=False)
        nn.init.eye_(self.dense.weight)

    def forward(self, batch: Tensor) -> Tensor:
        """Logits (batch, classes) of probabilities (batch, inputs, classes)."""
        return 2 * (self.dense(self.local(batch)) - SHIFT)
