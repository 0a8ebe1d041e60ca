"""Statistics of batch norms that are made again at the end of a stage: what the finished weights show."""

from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from soundpost.training.inputs.rows import Rows
from soundpost.training.interrupt import Paused
from soundpost.training.plan import plan_of
from soundpost.training.trainer import Hooks, Trainer

HEARD = np.random.default_rng(0).normal(3, 2, (8, 1)).astype(np.float32)


def trained(norms: str, checkpoint: Path | None = None, pause_at: int = 0, **plan: object) -> dict[str, Tensor]:
    """What three epochs of four steps leave; looks at the clock are counted, and one of them says that it is time."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(1, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))
    rows = Rows(HEARD, (HEARD > 3).astype(np.float32), 2)
    looks = count(1)
    hooks = Hooks(lambda *given: rows, lambda *given: 1.0, lambda: next(looks) == pause_at)
    table = {"norms": norms, "optimiser": {"name": "adam", "rate": 0.1}, "stages": [{"epochs": 3}], **plan}
    return Trainer(plan_of(table, "plan"), network, hooks, 0, "").run(checkpoint, "member").state_dict()


def test_statistics_made_again_are_those_of_the_finished_weights() -> None:
    """The layer's own lag behind weights that move at full rate up to the last step, and nothing else differs."""
    lagging, again = trained("own"), trained("again")

    shown = torch.from_numpy(HEARD) @ again["0.weight"].T + again["0.bias"]
    torch.testing.assert_close(again["1.running_mean"], shown.mean(0))
    assert (lagging["1.running_mean"] - shown.mean(0)).abs().max() > 0.1
    for name in again:
        assert torch.equal(again[name], lagging[name]) != name.startswith(("1.running", "1.num")), name


def test_average_of_weights_has_its_own_statistics_made_again() -> None:
    """What is kept is what is measured."""
    kept = trained("again", average_decay=0.9)

    shown = torch.from_numpy(HEARD) @ kept["0.weight"].T + kept["0.bias"]
    torch.testing.assert_close(kept["1.running_mean"], shown.mean(0))


@pytest.mark.parametrize("look", [16, 17])  # behind three epochs of four steps and a look at the end of each
def test_stop_while_statistics_are_made_again_costs_nothing(tmp_path: Path, look: int) -> None:
    """They are made from the first batch on when training goes on."""
    with pytest.raises(Paused, match=r"^stage all, behind its last epoch$"):
        trained("again", tmp_path / "a.checkpoint", look)

    found, whole = trained("again", tmp_path / "a.checkpoint"), trained("again")
    assert all(torch.equal(found[name], whole[name]) for name in whole)
