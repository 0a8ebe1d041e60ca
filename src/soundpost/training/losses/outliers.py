"""Clips of noisy sets left out of a batch where their loss stands out."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class BceWithoutOutliersSettings:
    """From where on a clip is left out."""

    alpha: float = 0.8  # a share of the largest loss in the batch


class BceWithoutOutliers:
    """Binary cross-entropy whose mean misses clips that may be wrong and lie above a share of the batch's maximum.

    Source: systems specification of argus, where no member used it.
    """

    Settings: ClassVar[type] = BceWithoutOutliersSettings

    def __init__(self, settings: BceWithoutOutliersSettings) -> None:
        self.settings = settings

    def __call__(self, logits: Tensor, targets: Tensor, is_noisy: Tensor | None = None) -> Tensor:
        """(batch, classes) each, (batch,) bool -> a number; without is_noisy every clip may be wrong."""
        plain = F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(1)
        stands_out = plain > self.settings.alpha * plain.max()
        kept = ~stands_out if is_noisy is None else ~(stands_out & is_noisy)
        return plain[kept].mean() if kept.any() else plain.sum() * 0
