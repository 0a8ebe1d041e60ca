"""What plans cost, by hand, and a forecast that is timed once."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_plans import NARROW

from soundpost.training import forecast
from soundpost.training.__main__ import main
from soundpost.training.forecast import cost_of, listing, seconds_per_draw
from soundpost.training.plan import find_plan, plan_names, plan_of, read_plan

COSTS = {  # plan -> members, clips that a member is shown at most
    "argus/corr_noisy_007": (5, 700 * 32768),
    "qrfaction/v1mix": (10, 35 * 19815 + 40 * 4473),
    "simongrest/six_folds": (6, 100 * 4141 + 80 * (4141 + 2000)),
    "ex4sperans/2d_basic": (5, 20 * 3976),
    "ex4sperans/2d_noisy": (5, 100 * 3976 + 50 * (4 * 3976 + 10000) + 150 * (3976 + 5000)),
    "erc2019/m0": (1, 71 * 4970),
    "filipmu/resnet34": (1, 70 * 3976 + 40 * (3976 + 19815)),
    "seventh/custom": (5, 40 * 3 * 19815 + 80 * 31808),
    "hires_spectrogram/resnext50": (5, 15 * 3976),
}


@pytest.mark.parametrize("name", COSTS)
def test_cost_of_a_plan_is_counted_in_draws(name: str) -> None:
    """Members, epochs and clips of every stage."""
    found = cost_of(read_plan(find_plan(name)))
    assert (found.members, found.draws) == COSTS[name]


def test_listing_names_every_plan_and_times_each_network_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Half a second a draw, as a stand-in says; a second call asks for nothing."""
    asked = []
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(forecast, "seconds_per_draw", lambda plan, device: asked.append(plan.name) or 0.5)
    assert main(["--list", "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    rows = [line.split(" | ") for line in said.splitlines() if line.startswith("|") and "/" in line]
    assert [row[0].removeprefix("| ") for row in rows] == plan_names()
    erc2019 = next(row for row in rows if row[0] == "| erc2019/m0")
    assert erc2019[1:4] == ["1", f"{71 * 4970:,}", f"{71 * 4970 * 0.5 / 3600:,.1f}"]
    assert "forecast for cpu" in said
    assert said.endswith(
        f"\n{tmp_path / 'soundpost' / 'training_speed.json'} keeps the times; remove it to have them "
        "taken again, as on a calmer machine.\n"
    )
    assert 0 < len(asked) < len(plan_names())
    assert len(json.loads((tmp_path / "soundpost" / "training_speed.json").read_text())) == len(asked)
    before = len(asked)
    assert listing(torch.device("cpu")) == said.rstrip("\n")
    assert len(asked) == before


def test_draw_of_a_small_plan_is_timed() -> None:
    """A step of the real loop; its plan's second set has a loss of its own, and no clips are asked for."""
    model = {"name": "compact", "widths": [4, 6], "strides": [2, 2]}
    sets = {"curated": {}, "noisy": {"of": "noisy", "heard": "all"}}
    loss = {"by_set": {"noisy": {"name": "soft_bootstrap"}}}
    stage = {"heard": ["noisy"], "keep": "best", "schedule": {"name": "plateau"}}
    plan = plan_of({"model": model, "sets": sets, "stages": [stage], "loss": loss}, "plan")
    assert 0 < seconds_per_draw(plan, torch.device("cpu")) < 60


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in plan_names() if read_plan(find_plan(name)).model["name"] in NARROW])
def test_every_published_plan_can_be_timed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Narrow networks and short sounds, all else as published: sets, losses, stages that begin anew, effects."""
    monkeypatch.setattr(forecast, "SECONDS", 0.6)
    plan = read_plan(find_plan(name))
    narrow = replace(plan, model={**plan.model, **NARROW[plan.model["name"]]}, autocast="none")
    assert seconds_per_draw(narrow, torch.device("cpu")) > 0
