"""Losses for labels that may be wrong: soft bootstrapping and Lq."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

SMALLEST = 1e-7  # probability


@dataclass(frozen=True)
class SoftBootstrapSettings:
    """How much the labels are believed."""

    beta: float = 0.7  # the share of the label in the target; the rest is what the network says itself


class SoftBootstrap:
    """Binary cross-entropy against a mixture of label and own answer, whose share is held constant.

    Sources: Reed et al. 2014; systems specification of argus.
    """

    Settings: ClassVar[type] = SoftBootstrapSettings

    def __init__(self, settings: SoftBootstrapSettings) -> None:
        self.settings = settings

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """(batch, classes) each -> a number."""
        given = logits.sigmoid().clamp(SMALLEST, 1)
        beta = self.settings.beta
        return F.binary_cross_entropy(given, beta * targets + (1 - beta) * given.detach())


@dataclass(frozen=True)
class LqSettings:
    """Between cross-entropy (0) and mean absolute error (1)."""

    q: float = 0.5


class Lq:
    """Mean of (1 - (p y)^q) / q over clips and classes.

    Sources: Zhang and Sabuncu 2018; systems specification of argus, where no member used it.
    """

    Settings: ClassVar[type] = LqSettings

    def __init__(self, settings: LqSettings) -> None:
        self.settings = settings

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """(batch, classes) each -> a number."""
        q = self.settings.q
        return ((1 - (logits.sigmoid() * targets + SMALLEST) ** q) / q).mean()
