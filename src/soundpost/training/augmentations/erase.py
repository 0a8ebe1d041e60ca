"""A box of each picture set to one value."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from soundpost.training.augmentations.resized_crop import ResizedCrop, ResizedCropSettings
from soundpost.training.batch import Batch


@dataclass(frozen=True)
class EraseSettings:
    """How often, how much and with what; no source gives the published numbers, these are Zhong et al.'s of 2017."""

    probability: float = 0.5
    area: tuple[float, float] = (0.02, 0.33)  # least and largest share of the picture
    ratio: tuple[float, float] = (0.3, 3.3)  # frames over bins
    value: float = 0.0


class Erase:
    """Random erasing.

    Source: named by the systems specification of the seventh place; Zhong et al. 2017.
    """

    Settings: ClassVar[type] = EraseSettings

    def __init__(self, settings: EraseSettings) -> None:
        self.settings = settings
        self._box = ResizedCrop(ResizedCropSettings(1.0, settings.area, settings.ratio))

    def draw(self, batch: Batch, generator: Generator) -> Tensor:
        """(batch, 4) int64: top, left, height and width of each box; zeros where nothing happens."""
        boxes = self._box.draw(batch, generator)
        happens = torch.rand(len(batch), generator=generator) < self.settings.probability
        return torch.where(happens[:, None], boxes, 0)

    def apply(self, batch: Batch, drawn: Tensor) -> Batch:
        """Pictures of the same sizes."""
        top, left, height, width = drawn.to(batch.inputs.device)[:, :, None].unbind(1)
        rows, columns = (torch.arange(size, device=batch.inputs.device) for size in batch.inputs.shape[-2:])
        inside = ((rows >= top) & (rows < top + height))[:, :, None] & ((columns >= left) & (columns < left + width))[
            :, None
        ]
        return batch.with_inputs(batch.inputs.masked_fill(inside[:, None], self.settings.value))
