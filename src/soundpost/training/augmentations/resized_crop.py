"""A part of each picture, stretched to the size of the whole."""

from dataclasses import dataclass
from math import exp, log, sqrt
from typing import ClassVar

import torch
from torch import Generator, Tensor

from soundpost.training import draws
from soundpost.training.batch import Batch

TRIES = 10  # before the largest part of an admissible shape is taken


@dataclass(frozen=True)
class ResizedCropSettings:
    """How often, how large and of which shape."""

    probability: float = 0.33
    area: tuple[float, float] = (0.8, 1.0)  # least and largest share of the whole picture
    ratio: tuple[float, float] = (1.7, 2.3)  # frames over bins, evenly on a log scale


class ResizedCrop:
    """Parts of pictures of equal sizes, read bilinearly; the others stay as they are.

    Source: systems specification of argus, torchvision's RandomResizedCrop of 2019.
    """

    Settings: ClassVar[type] = ResizedCropSettings

    def __init__(self, settings: ResizedCropSettings) -> None:
        self.settings = settings

    def draw(self, batch: Batch, generator: Generator) -> Tensor:
        """(batch, 4) int64: top, left, height and width of each part; the whole where nothing happens."""
        chosen, (height, width) = self.settings, batch.inputs.shape[-2:]
        happens = draws.chance(len(batch), chosen.probability, generator)
        shares = draws.uniform(len(batch) * TRIES, *chosen.area, generator).reshape(-1, TRIES)
        least, most = (log(ratio) for ratio in chosen.ratio)
        ratios = draws.uniform(len(batch) * TRIES, least, most, generator).reshape(-1, TRIES)
        sizes = torch.tensor(
            [
                size_of(list(zip(*tries, strict=True)), chosen.ratio, height, width)
                for tries in zip(shares.tolist(), ratios.tolist(), strict=True)
            ]
        )
        whole = torch.tensor([0, 0, height, width])
        room = torch.tensor([height, width]) - sizes
        corner = torch.stack([draws.below(room[:, axis] + 1, generator) for axis in (0, 1)], 1)
        return torch.where(happens[:, None], torch.cat([corner, sizes], 1), whole)

    def apply(self, batch: Batch, drawn: Tensor) -> Batch:
        """Each part at the size of the whole."""
        return batch.with_inputs(stretched(batch.inputs, drawn))


def size_of(tries: list[tuple[float, float]], ratio: tuple[float, float], height: int, width: int) -> tuple[int, int]:
    """Height and width of the first try that fits into the picture.

    Args:
        tries: area share and logarithm of frames over bins of each.
        ratio: what frames over bins may be; the largest part of such a shape is taken if no try fits.
        height: bins of the picture.
        width: frames of the picture.
    """
    for share, log_ratio in tries:
        area, shape = share * height * width, exp(log_ratio)
        found = round(sqrt(area / shape)), round(sqrt(area * shape))
        if found[0] <= height and found[1] <= width:
            return found
    if width / height < ratio[0]:
        return round(width / ratio[0]), width
    if width / height > ratio[1]:
        return height, round(height * ratio[1])
    return height, width


def stretched(pictures: Tensor, boxes: Tensor) -> Tensor:
    """Parts of pictures at the size of the whole, bilinear between centres of cells, border cells repeated.

    Args:
        pictures: (batch, channels, bins, frames).
        boxes: (batch, 4) top, left, height, width.
    """
    boxes = boxes.to(pictures.device)
    for axis, first, size in ((2, boxes[:, 0], boxes[:, 2]), (3, boxes[:, 1], boxes[:, 3])):
        count = pictures.shape[axis]
        at = (torch.arange(count, device=pictures.device) + 0.5) * (size[:, None] / count) - 0.5
        at = torch.minimum(at.clamp(min=0), size[:, None] - 1)
        low = at.floor().long()
        high = torch.minimum(low + 1, size[:, None] - 1)
        shape = (-1, 1, count, 1) if axis == 2 else (-1, 1, 1, count)
        index = [(first[:, None] + part).reshape(shape) for part in (low, high)]
        size_there = [*pictures.shape]
        read = [pictures.gather(axis, part.expand(size_there)) for part in index]
        pictures = torch.lerp(read[0], read[1], (at - low).to(pictures.dtype).reshape(shape))
    return pictures
