"""What every loss is, the loss of a batch from several sets, and smoothed targets."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol

import torch
from torch import Tensor


class Loss(Protocol):
    """A mean over clips, and over classes where the formula has one."""

    Settings: ClassVar[type]

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """(batch, classes) each -> a number."""
        ...


def of_sources(
    logits: Tensor, targets: Tensor, sources: Tensor, losses: Mapping[int, Loss], weights: Mapping[int, float]
) -> Tensor:
    """Each set's own loss, weighed by its weight and by its share of the batch; sets of one loss count together.

    Args:
        logits: (batch, classes).
        targets: (batch, classes).
        sources: (batch,) int64, the set of each clip.
        losses: set -> its loss.
        weights: set -> what its loss is multiplied with.

    Source: systems specification of argus, where an empty part contributes nothing.
    """
    total = logits.sum() * 0
    parts: dict[tuple[int, float], list[int]] = {}
    for source in losses:
        parts.setdefault((id(losses[source]), weights[source]), []).append(source)
    for (_, weight), several in parts.items():
        rows = torch.isin(sources, torch.tensor(several)).to(logits.device)
        share = rows.sum() / len(rows)
        if rows.any():
            total = total + weight * share * losses[several[0]](logits[rows], targets[rows])
    return total


def of_heads(outputs: Tensor | Sequence[Tensor], weights: Sequence[float]) -> list[tuple[float, Tensor]]:
    """The outputs that have a weight, with it; the first output is that of prediction."""
    several = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    return list(zip(weights, several, strict=False))


def smoothed(targets: Tensor, share: float) -> Tensor:
    """Every class a coin of its own: what is there becomes 1 - share, what is not becomes share.

    Source: systems specification of qrfaction (0.01).
    """
    return share * (1 - targets) + (1 - share) * targets
