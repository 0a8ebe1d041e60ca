"""What a stage of training has of its own: clips, optimiser, schedule, loss, and the epoch that is best."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from soundpost.registry import pick
from soundpost.training.best_epoch import BestEpoch, BestEpochSettings, SlowStarts
from soundpost.training.criterion import Criterion
from soundpost.training.inputs.material import Material
from soundpost.training.norms import RunningStatistics
from soundpost.training.optimisers import OptimiserSettings, freeze, optimiser
from soundpost.training.plan import LossSettings, Plan, StageSettings, ValidationSettings, strict
from soundpost.training.schedules import SCHEDULES
from soundpost.training.schedules.schedule import Length


class StageRun:
    """One stage from its beginning to its end; what does not train is frozen while it lasts."""

    def __init__(self, plan: Plan, stage: StageSettings, network: nn.Module, material: Material) -> None:
        """Ready everything at the place where the stage begins.

        Args:
            plan: what all stages share.
            stage: with its own tables, or the plan's.
            network: as it is now.
            material: what the stage learns from.
        """
        self.stage = stage
        self.material = material
        freeze(network, stage.trainable)
        self.optimiser = optimiser(strict(OptimiserSettings, stage.optimiser or {}, "[optimiser]"), network)
        self.schedule = _schedule(stage.schedule, self.optimiser, Length(stage.epochs, material.steps))
        self.criterion = Criterion(strict(LossSettings, stage.loss or {}, "[loss]"), list(plan.sets))
        self.validation = strict(ValidationSettings, stage.validation or {}, "[validation]")
        self.best = BestEpoch(strict(BestEpochSettings, stage.best, "best"))
        self.best_weights: dict[str, Tensor] = {}
        self.slow = SlowStarts(stage.slow_starts)
        self.statistics = RunningStatistics(network, plan.norms)

    @property
    def looks_at_scores(self) -> bool:
        """Whether something in this stage depends on the score of an epoch."""
        return self.stage.keep == "best" or self.schedule.BY == "score" or self.stage.slow_starts > 0

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs."""
        return {
            "optimiser": self.optimiser.state_dict(),
            "schedule": {key: value for key, value in self.schedule.state_dict().items() if not callable(value)},
            "best": self.best.state_dict(),
            "best_weights": self.best_weights,
            "slow": self.slow.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from where another one was."""
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        self.best.load_state_dict(state["best"])
        self.best_weights = state["best_weights"]
        self.slow.load_state_dict(state["slow"])


def _schedule(table: Mapping[str, Any], optimiser: torch.optim.Optimizer, length: Length) -> Any:
    """A schedule over an optimiser, from a table of the plan."""
    entry = pick(SCHEDULES, table["name"], "schedule")
    own = {key: value for key, value in table.items() if key != "name"}
    return entry(optimiser, strict(entry.Settings, own, "schedule"), length)
