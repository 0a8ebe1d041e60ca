"""Arrays of loudness -> square colour pictures, pixel for pixel as matplotlib and Pillow drew the published ones."""

import functools

import torch
from torch import Tensor

from soundpost.front_ends.colour_tables import colour_table

SIDE = 224  # pixels of a finished picture
FRACTION_BITS = 22  # behind the point of Pillow's fixed-point weights for 8-bit pictures
LUMINANCE = (19595, 38470, 7471)  # weights of red, green and blue in 1/65536, from ITU-R 601


def coloured(raster: Tensor, low: Tensor, high: Tensor, table: str) -> Tensor:
    """(rows, columns) of values -> (3, 224, 224) float32, whole numbers 0 ... 255.

    Args:
        raster: what each pixel shows, before the picture gets its final size.
        low: the value of the table's first colour.
        high: the value of the table's last colour; if it equals low, all is drawn in the first.
        table: a name in colour_tables.TABLES.
    """
    index = (256 * (raster - low) / (high - low)).nan_to_num_(0.0).clamp_(0, 255).long()
    return resized(colour_table(table, raster.device)[index].permute(2, 0, 1), SIDE, SIDE)


def resized(picture: Tensor, height: int, width: int) -> Tensor:
    """(..., rows, columns) of whole numbers 0 ... 255 in another size, by Pillow's bicubic rule for 8-bit pictures.

    Columns first, then rows, cut to whole numbers in between; weights at the borders are made to add up to 1.
    """
    for size in (width, height):
        taps, weights = bicubic(picture.shape[-1], size, picture.device)
        total = (picture[..., taps].double() * weights).sum(-1)
        picture = ((total + 2 ** (FRACTION_BITS - 1)) / 2**FRACTION_BITS).floor_().clamp_(0, 255).float()
        picture = picture.transpose(-1, -2)
    return picture.contiguous()


@functools.lru_cache(maxsize=32)
def bicubic(old: int, new: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Which pixels make each new pixel and with which weights, in 1 / 2 ** FRACTION_BITS; both (new, taps).

    Source: the cubic of Keys, 1981, with a = -0.5; widened when the picture shrinks, as Pillow does it.
    """
    scale = old / new
    stretch = max(1.0, scale)
    centre = (torch.arange(new, dtype=torch.float64) + 0.5) * scale
    first = (centre - 2 * stretch + 0.5).floor().clamp(min=0)
    last = (centre + 2 * stretch + 0.5).floor().clamp(max=old)
    taps = first[:, None] + torch.arange(int((last - first).max()))
    x = ((taps - centre[:, None] + 0.5) / stretch).abs()
    near, far = (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    weights = torch.where(x < 1, near, torch.where(x < 2, far, 0.0)) * (taps < last[:, None])
    weights = (weights / weights.sum(1, keepdim=True) * 2**FRACTION_BITS).round()
    return taps.clamp(max=old - 1).long().to(device), weights.to(device)


def luminance(picture: Tensor) -> Tensor:
    """(3, rows, columns) of whole numbers -> (rows, columns), rounded to whole numbers."""
    red, green, blue = (weight * channel for weight, channel in zip(LUMINANCE, picture.double(), strict=True))
    return ((red + green + blue + 32768) / 65536).floor_().float()
