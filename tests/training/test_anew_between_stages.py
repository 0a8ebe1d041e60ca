"""A training that is killed between two stages begins the second one anew all the same."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from soundpost.training.inputs.rows import Rows
from soundpost.training.plan import StageSettings, plan_of
from soundpost.training.trainer import Hooks, Trainer


class _Killed(Exception):
    """Stands for SIGKILL: nothing is saved on the way out."""


def _network(seed: int) -> torch.nn.Linear:
    torch.manual_seed(seed)
    return torch.nn.Linear(2, 1)


def _trained(checkpoint: Path | None, dies_before: str = "") -> dict[str, Any]:
    """Weights after two stages, the second of which begins anew; or no weights, where it dies before one."""
    plan = plan_of({"stages": [{"name": "one", "epochs": 2}, {"name": "two", "epochs": 1, "begin": "anew"}]}, "plan")
    rows = Rows(np.ones((2, 2), np.float32), np.ones((2, 1), np.float32), 2)

    def material(stage: StageSettings, *given: object) -> Rows:
        if stage.name == dies_before:
            raise _Killed(f"killed before {stage.name}")
        return rows

    hooks = Hooks(material, lambda *given: 1.0, fresh=lambda stage: _network(10 + stage))
    return Trainer(plan, _network(0), hooks, 0, "digest").run(checkpoint, "anew").state_dict()


def test_training_killed_between_stages_begins_the_next_one_anew(tmp_path: Path) -> None:
    """The checkpoint that stands there is from before the beginning."""
    with pytest.raises(_Killed, match="killed before two"):
        _trained(tmp_path / "fold1.checkpoint", "two")
    went_on, left_alone = _trained(tmp_path / "fold1.checkpoint"), _trained(None)
    assert all(torch.equal(went_on[name], left_alone[name]) for name in left_alone)
