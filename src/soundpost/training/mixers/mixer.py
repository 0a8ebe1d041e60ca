"""What every mixer is, and the weighted mean that most of them take."""

from dataclasses import replace
from typing import Any, ClassVar, Protocol

import torch
from torch import Generator, Tensor

from soundpost.training.batch import Batch


class Mixer(Protocol):
    """A rule for two clips; the trainer calls both parts, golden cases feed the second."""

    Settings: ClassVar[type]

    def draw(self, own: Batch, partner: Batch, generator: Generator) -> Any:
        """How each clip is mixed: tensors with one row a clip, on the processor."""
        ...

    def apply(self, own: Batch, partner: Batch, drawn: Any) -> Batch:
        """Each clip mixed with the partner in its row; both given batches stay as they are."""
        ...


def weighed(own: Batch, partner: Batch, shares: Tensor) -> Batch:
    """Inputs and targets of each clip times its share (batch,), plus those of its partner times the rest.

    Clips of different lengths begin together; the longer one goes on alone.
    """
    first, second, lengths = together(own, partner)
    share, targets = own.per_clip(shares), shares.to(own.targets)[:, None]
    inputs = share * first + (1 - share) * second
    return replace(own, inputs=inputs, lengths=lengths, targets=targets * own.targets + (1 - targets) * partner.targets)


def together(own: Batch, partner: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs of both as long as the longest clip, zeros behind each clip's end, and the longer length of each row."""
    size = max(own.inputs.shape[-1], partner.inputs.shape[-1])
    both = []
    for batch in (own, partner):
        heard = batch.is_heard() if batch.inputs.dim() == 2 else batch.is_heard()[:, None, None]
        values = torch.where(heard, batch.inputs, torch.zeros((), dtype=batch.inputs.dtype, device=heard.device))
        both.append(torch.nn.functional.pad(values, (0, size - values.shape[-1])))
    return both[0], both[1], torch.maximum(own.lengths, partner.lengths)


def united(own: Batch, partner: Batch) -> Tensor:
    """Targets that either clip has, (batch, classes)."""
    return (own.targets + partner.targets).clamp(0, 1)
