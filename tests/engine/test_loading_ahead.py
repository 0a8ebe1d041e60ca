"""Networks of the coming pass are on their way to the device before the pass that runs now begins; on a stand-in."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from conftest import RecipeMaker
from stand_in_gpus import stand_in

from soundpost.engine import run as run_module
from soundpost.engine.pass_run import PassRun
from soundpost.inference import model_pool
from soundpost.inference.model_pool import ModelPool
from soundpost.settings import RunSettings

GPU = "cpu:0"  # to torch a processor, to the engine a device that leaves the cores alone


def test_networks_of_a_whole_team_are_loaded_ahead_beside_what_computes(
    make_assets: RecipeMaker,
    make_clips: Callable[..., Path],
    make_settings: Callable[..., RunSettings],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before each pass all networks of the next one are asked for, and made by the loader, in a queue beside."""
    stand_in(monkeypatch, GPU)
    story: list[tuple[str, tuple[int, ...]]] = []
    makers: list[tuple[str, str]] = []
    load, run = ModelPool.load, PassRun.run

    def asked(pool: ModelPool, number: int) -> object:
        story.append(("load", (number,)))
        return load(pool, number)

    def ran(pass_run: PassRun, *rest: object) -> bool:
        story.append(("run", tuple(work.member for work in pass_run.plan.works)))
        return run(pass_run, *rest)

    @contextmanager
    def beside(device: str) -> Iterator[None]:
        makers.append((device, threading.current_thread().name))
        yield

    monkeypatch.setattr(ModelPool, "load", asked)
    monkeypatch.setattr(PassRun, "run", ran)
    monkeypatch.setattr(model_pool, "beside_computing", beside)

    settings = make_settings(make_assets({"folds": 6}), make_clips((0.4, 0.5)))
    assert run_module.run(settings) == 0

    runs = [i for i, (kind, _) in enumerate(story) if kind == "run"]
    teams = [story[i][1] for i in runs]
    assert sorted(number for team in teams for number in team) == list(range(6))
    assert max(map(len, teams[1:])) > 1, "no pass shared its batches"
    for before, now in pairwise(runs):
        asked_before = {numbers[0] for kind, numbers in story[:before] if kind == "load"}
        assert set(story[now][1]) <= asked_before, (story[now], story)
    assert {device for device, _ in makers} == {GPU}
    assert all(name.startswith("loader") for _, name in makers)
