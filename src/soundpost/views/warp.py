"""Zooming and warping of pictures: where each cell of the result is read from, and the reading.

Source: the fastai v1 transforms as the systems specification of simongrest gives their geometry: coordinates (u, v)
run over frames and bins from -1 to 1, the ends lying on the centres of the border cells.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def plain_grid(bins: int, frames: int) -> Tensor:
    """(bins, frames, 2): the (u, v) of every cell, float32."""
    v, u = torch.meshgrid(torch.linspace(-1, 1, bins), torch.linspace(-1, 1, frames), indexing="ij")
    return torch.stack([u, v], -1)


def zoomed(grid: Tensor, scale: float, row: float, column: float) -> Tensor:
    """The grid of a zoom by scale into the part of the picture that row and column in [0, 1] name; 0 is the top left.

    Args:
        grid: (bins, frames, 2).
        scale: 1 changes nothing.
        row: where between the first and the last bin the zoom looks.
        column: where between the first and the last frame.
    """
    margin = 1 - 1 / scale
    return grid / scale + margin * torch.tensor([2 * column - 1, 2 * row - 1], dtype=grid.dtype)


def warped(grid: Tensor, magnitudes: tuple[float, float, float, float]) -> Tensor:
    """The grid of a symmetric perspective warp.

    Args:
        grid: (bins, frames, 2).
        magnitudes: m0 ... m3; the homography takes (-1-m3, -1-m1), (-1-m2, 1+m1), (1+m3, -1-m0), (1+m2, 1+m0) to the
            corners (-1, -1), (-1, 1), (1, -1), (1, 1).
    """
    m0, m1, m2, m3 = magnitudes
    sources = [(-1 - m3, -1 - m1), (-1 - m2, 1 + m1), (1 + m3, -1 - m0), (1 + m2, 1 + m0)]
    targets = [(-1, -1), (-1, 1), (1, -1), (1, 1)]
    rows, right = [], []
    for (x, y), (tx, ty) in zip(sources, targets, strict=True):
        # tx = (a x + b y + c) / (g x + h y + 1), ty = (d x + e y + f) / (g x + h y + 1)
        rows += [[x, y, 1, 0, 0, 0, -tx * x, -tx * y], [0, 0, 0, x, y, 1, -ty * x, -ty * y]]
        right += [tx, ty]
    solution = torch.linalg.solve(torch.tensor(rows, dtype=torch.float64), torch.tensor(right, dtype=torch.float64))
    homography = torch.cat([solution, torch.ones(1, dtype=torch.float64)]).reshape(3, 3)
    points = torch.cat([grid.double(), torch.ones_like(grid[..., :1], dtype=torch.float64)], -1) @ homography.T
    return (points[..., :2] / points[..., 2:]).to(grid.dtype)


def read(picture: Tensor, grid: Tensor) -> Tensor:
    """The picture read at every point of a grid, bilinear, mirrored at the centres of the border cells.

    Args:
        picture: (channels, bins, frames).
        grid: (bins, frames, 2).

    Returns:
        (channels, bins, frames) of the grid, float32: places need more digits than half precision has.
    """
    return F.grid_sample(picture[None].float(), grid[None], "bilinear", "reflection", align_corners=True)[0]
