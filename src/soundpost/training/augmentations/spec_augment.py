"""A band of bins and a stretch of frames of each picture hidden, once or twice."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from soundpost.training import draws
from soundpost.training.augmentations.masks import covered
from soundpost.training.batch import Batch


@dataclass(frozen=True)
class SpecAugmentSettings:
    """How often and how much."""

    probability: float = 0.5
    rounds: tuple[int, int] = (1, 2)  # fewest and most; each hides one band and one stretch
    bins: float = 0.15  # the largest share of the bins in a band
    frames: float = 0.20  # the largest share of the frames in a stretch


class SpecAugment:
    """What is hidden holds the picture's smallest value.

    Source: systems specification of argus.
    """

    Settings: ClassVar[type] = SpecAugmentSettings

    def __init__(self, settings: SpecAugmentSettings) -> None:
        self.settings = settings

    def draw(self, batch: Batch, generator: Generator) -> Tensor:
        """(batch, rounds, 2, 2) int64: of each round band and stretch, of each first and last-but-one; equal: none."""
        chosen, count = self.settings, len(batch)
        fewest, most = chosen.rounds
        happens = draws.chance(count, chosen.probability, generator)
        rounds = torch.where(happens, draws.integers(count, fewest, most, generator), 0)
        sizes = batch.inputs.shape[-2:]
        masks = []
        for number in range(most):
            spans = []
            for size, share in zip(sizes, (chosen.bins, chosen.frames), strict=True):
                width = (draws.uniform(count, 0, share, generator) * size).long()
                first = (draws.uniform(count, 0, 1, generator) * (size - width)).long()
                spans.append(torch.stack([first, torch.where(number < rounds, first + width, first)], 1))
            masks.append(torch.stack(spans, 1))
        return torch.stack(masks, 1)

    def apply(self, batch: Batch, drawn: Tensor) -> Batch:
        """Pictures of equal sizes with their masks."""
        fill = batch.inputs.flatten(1).amin(1)
        return batch.with_inputs(covered(batch.inputs, drawn[:, :, 0], drawn[:, :, 1], fill))
