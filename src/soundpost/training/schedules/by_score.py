"""A schedule that looks at the score of every epoch."""

from dataclasses import dataclass
from typing import ClassVar

from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from soundpost.training.schedules.schedule import Length


@dataclass(frozen=True)
class PlateauSettings:
    """When and by how much."""

    patience: int = 6  # epochs without a better score that are let pass
    factor: float = 0.6
    threshold: float = 1e-4  # relative; a smaller gain is none
    floor: float = 1e-8


class Plateau(ReduceLROnPlateau):
    """The rate times a factor once the score has stood still for long enough.

    Source: systems specification of argus.
    """

    Settings: ClassVar[type] = PlateauSettings
    BY: ClassVar[str] = "score"

    def __init__(self, optimiser: Optimizer, settings: PlateauSettings, length: Length) -> None:
        super().__init__(
            optimiser, "max", settings.factor, settings.patience, settings.threshold, min_lr=settings.floor
        )
