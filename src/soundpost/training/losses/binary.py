"""Every class a yes or no of its own: binary cross-entropy, plain and focal."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class BceSettings:
    """Nothing is left to choose."""


class Bce:
    """Binary cross-entropy of logits, mean over clips and classes; used by most systems."""

    Settings: ClassVar[type] = BceSettings

    def __init__(self, settings: BceSettings) -> None:
        self.settings = settings

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """(batch, classes) each -> a number."""
        return F.binary_cross_entropy_with_logits(logits, targets)


@dataclass(frozen=True)
class FocalSettings:
    """How little what is easy counts."""

    gamma: float = 2.0


class Focal:
    """Binary cross-entropy of which what is nearly right counts less, summed over classes, mean over clips.

    Sources: Lin et al. 2017; the form of ex4sperans' repository, used by none of its released networks.
    """

    Settings: ClassVar[type] = FocalSettings

    def __init__(self, settings: FocalSettings) -> None:
        self.settings = settings

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """(batch, classes) each -> a number."""
        plain = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        wrong = F.logsigmoid(-logits * (targets * 2 - 1))
        return ((wrong * self.settings.gamma).exp() * plain).mean()
