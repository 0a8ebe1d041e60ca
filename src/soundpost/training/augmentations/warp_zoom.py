"""Pictures warped and zoomed, and read once."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from soundpost.training import draws
from soundpost.training.batch import Batch
from soundpost.views.warp import plain_grid, warped, zoomed


@dataclass(frozen=True)
class WarpZoomSettings:
    """How often and how much."""

    probability: float = 0.9  # how likely a warp is, and how likely a zoom
    magnitude: float = 0.05  # how far the warp's four corners move, either way
    scale: tuple[float, float] = (1.0, 1.1)  # least and largest zoom


@dataclass(frozen=True)
class WarpZoomDraw:
    """What happens to each clip."""

    magnitudes: Tensor  # (batch, 4) of the warp, zeros: none
    scale: Tensor  # (batch,) of the zoom, 1: none
    place: Tensor  # (batch, 2) row and column in [0, 1] into which the zoom looks


class WarpZoom:
    """A symmetric perspective warp, then a zoom of what came of it.

    Source: systems specification of simongrest.
    """

    Settings: ClassVar[type] = WarpZoomSettings

    def __init__(self, settings: WarpZoomSettings) -> None:
        self.settings = settings

    def draw(self, batch: Batch, generator: Generator) -> WarpZoomDraw:
        """Both for each clip, one of them or neither."""
        chosen, count = self.settings, len(batch)
        is_warped = draws.chance(count, chosen.probability, generator)
        is_zoomed = draws.chance(count, chosen.probability, generator)
        magnitudes = draws.uniform(4 * count, -chosen.magnitude, chosen.magnitude, generator).reshape(count, 4)
        scale = draws.uniform(count, *chosen.scale, generator)
        place = draws.uniform(2 * count, 0, 1, generator).reshape(count, 2)
        return WarpZoomDraw(magnitudes * is_warped[:, None], scale.where(is_zoomed, 1.0), place)

    def apply(self, batch: Batch, drawn: WarpZoomDraw) -> Batch:
        """Pictures of the same sizes, bilinear, mirrored at the centres of the border cells."""
        plain = plain_grid(*batch.inputs.shape[-2:])
        grids = []
        for magnitudes, scale, place in zip(
            drawn.magnitudes.tolist(), drawn.scale.tolist(), drawn.place.tolist(), strict=True
        ):
            grid = warped(plain, tuple(magnitudes)) if any(magnitudes) else plain
            grids.append(zoomed(grid, scale, *place))
        grid = torch.stack(grids).to(batch.inputs.device)
        read = F.grid_sample(batch.inputs.float(), grid, "bilinear", "reflection", align_corners=True)
        return batch.with_inputs(read)
