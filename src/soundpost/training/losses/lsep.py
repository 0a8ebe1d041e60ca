"""Every class that a clip has should outrank every class that it has not."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor


@dataclass(frozen=True)
class LsepSettings:
    """Nothing is left to choose."""


class Lsep:
    """Log-sum-exp of pairwise differences, mean over clips; a clip without either kind contributes nothing.

    Sources: Li et al. 2017; systems specification of ex4sperans, whose program overflows where differences pass 88.
    """

    Settings: ClassVar[type] = LsepSettings

    def __init__(self, settings: LsepSettings) -> None:
        self.settings = settings

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """(batch, classes) each -> a number."""
        return lsep_of_clips(logits, targets).mean()


def lsep_of_clips(logits: Tensor, targets: Tensor) -> Tensor:
    """ln(1 + sum of exp(s_j - s_i) over classes i that a clip has and j that it has not), (batch,)."""
    has = targets > 0.5
    pairs = has[:, :, None] & ~has[:, None]
    differences = (logits[:, None] - logits[:, :, None]).masked_fill(~pairs, -torch.inf).flatten(1)
    return torch.logsumexp(torch.nn.functional.pad(differences, (0, 1)), 1)
