"""One band of bins and one stretch of frames of each picture set to zero."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from soundpost.training import draws
from soundpost.training.augmentations.masks import covered
from soundpost.training.batch import Batch
from soundpost.views.masked_crops import LAST_START


@dataclass(frozen=True)
class BandAndStretchSettings:
    """How much."""

    fraction: float = 0.1  # the covered share of each axis, cut to whole bins and frames
    last_start: float = LAST_START  # a share of each axis; masks start before it


class BandAndStretch:
    """Masks of a fixed size at places drawn for each clip.

    Source: systems specification of ERC2019.
    """

    Settings: ClassVar[type] = BandAndStretchSettings

    def __init__(self, settings: BandAndStretchSettings) -> None:
        self.settings = settings

    def draw(self, batch: Batch, generator: Generator) -> Tensor:
        """(batch, 2) int64: first covered bin and first covered frame."""
        sizes = batch.inputs.shape[-2:]
        starts = [draws.uniform(len(batch), 0, self.settings.last_start, generator) * size for size in sizes]
        return torch.stack(starts, 1).long()

    def apply(self, batch: Batch, drawn: Tensor) -> Batch:
        """Pictures of equal sizes with their masks."""
        widths = torch.tensor([int(self.settings.fraction * size) for size in batch.inputs.shape[-2:]])
        spans = torch.stack([drawn, drawn + widths], 2)
        return batch.with_inputs(covered(batch.inputs, spans[:, :1], spans[:, 1:], torch.zeros(len(batch))))
