"""Schedules that move after every batch: cycles up and down, and a cosine after a warm-up."""

from dataclasses import dataclass
from typing import ClassVar

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from soundpost.training.schedules.one_cycle import FASTAI_2, FASTAI_V1, OneCycle, rate_and_momentum
from soundpost.training.schedules.schedule import Length
from soundpost.training.weight_average import learning_rate


@dataclass(frozen=True)
class OneCycleSettings:
    """Nothing is left to choose: the peak is the optimiser's rate."""


class _OneCycle(LRScheduler):
    """A cycle of the rate of every group, and of the first beta the other way round."""

    Settings: ClassVar[type] = OneCycleSettings
    BY: ClassVar[str] = "batch"
    CYCLE: ClassVar[OneCycle]

    def __init__(self, optimiser: Optimizer, settings: OneCycleSettings, length: Length) -> None:
        self._total = length.total
        super().__init__(optimiser)

    def get_lr(self) -> list[float]:  # type: ignore[override]
        """Rate of each group for the coming batch; its first beta is set on the way."""
        rates = []
        for group, peak in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            # After the last batch there is one more call, for a batch that never comes.
            batch = min(self.last_epoch, self._total - 1)
            rate, momentum = rate_and_momentum(self.CYCLE, float(peak), batch, self._total)
            rates.append(rate)
            if "betas" in group:
                group["betas"] = (momentum, group["betas"][1])
            else:
                group["momentum"] = momentum
        return rates


class OneCycleV1(_OneCycle):
    """The cycle of fastai v1; simongrest's and filipmu's."""

    CYCLE: ClassVar[OneCycle] = FASTAI_V1


class OneCycle2(_OneCycle):
    """The cycle of fastai2; the high-resolution spectrograms'."""

    CYCLE: ClassVar[OneCycle] = FASTAI_2


@dataclass(frozen=True)
class LinearCycleSettings:
    """From where to where; the peak is the optimiser's rate."""

    first: float = 1e-4
    last: float = 1e-7
    turn: float = 0.3  # what share of the batches comes before the peak, rounded


class LinearCycle(LambdaLR):
    """Straight up to the peak, then straight down.

    Source: systems specification of ex4sperans.
    """

    Settings: ClassVar[type] = LinearCycleSettings
    BY: ClassVar[str] = "batch"

    def __init__(self, optimiser: Optimizer, settings: LinearCycleSettings, length: Length) -> None:
        turn, peak = round(settings.turn * length.total), optimiser.param_groups[0]["lr"]

        def factor(batch: int) -> float:
            if batch < turn:
                rate = settings.first + batch / turn * (peak - settings.first)
            else:
                rate = peak + (batch - turn) / max(1, length.total - turn) * (settings.last - peak)
            return rate / peak

        super().__init__(optimiser, factor)


@dataclass(frozen=True)
class WarmCosineSettings:
    """How long the rise is."""

    warm_up: int = 10  # epochs


class WarmCosine(LambdaLR):
    """Straight up, then along a cosine to nearly nothing; the compact network's.

    No golden case: it is our own.
    """

    Settings: ClassVar[type] = WarmCosineSettings
    BY: ClassVar[str] = "batch"

    def __init__(self, optimiser: Optimizer, settings: WarmCosineSettings, length: Length) -> None:
        warm_up = settings.warm_up * length.batches
        super().__init__(optimiser, lambda batch: learning_rate(batch, length.total, warm_up, 1.0))
