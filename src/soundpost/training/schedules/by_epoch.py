"""Schedules that move after every epoch: none, milestones, a cosine wave."""

from dataclasses import dataclass
from typing import ClassVar

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, MultiStepLR

from soundpost.training.schedules.schedule import Length


@dataclass(frozen=True)
class ConstantSettings:
    """Nothing is left to choose."""


class Constant(LambdaLR):
    """The same rate throughout.

    No golden case: there is nothing to compute.
    """

    Settings: ClassVar[type] = ConstantSettings
    BY: ClassVar[str] = "epoch"

    def __init__(self, optimiser: Optimizer, settings: ConstantSettings, length: Length) -> None:
        super().__init__(optimiser, lambda epoch: 1.0)


@dataclass(frozen=True)
class MilestonesSettings:
    """When and by how much."""

    epochs: tuple[int, ...] = ()  # from 0; the rate is lowered before each of them trains
    factor: float = 0.5


class Milestones(MultiStepLR):
    """The rate times a factor at every milestone.

    Source: systems specification of qrfaction.
    """

    Settings: ClassVar[type] = MilestonesSettings
    BY: ClassVar[str] = "epoch"

    def __init__(self, optimiser: Optimizer, settings: MilestonesSettings, length: Length) -> None:
        super().__init__(optimiser, list(settings.epochs), settings.factor)


@dataclass(frozen=True)
class CosineWaveSettings:
    """How deep and how long."""

    floor: float = 1e-5
    half_period: int = 10  # epochs from the peak to the floor


class CosineWave(CosineAnnealingLR):
    """Falls along a cosine to the floor in half a period of epochs, and rises again in as many.

    Source: systems specification of ERC2019.
    """

    Settings: ClassVar[type] = CosineWaveSettings
    BY: ClassVar[str] = "epoch"

    def __init__(self, optimiser: Optimizer, settings: CosineWaveSettings, length: Length) -> None:
        super().__init__(optimiser, settings.half_period, settings.floor)
