"""Lanes: what the engine does with GPUs, shown on processors that pass for them, and what comes of jobs that fail."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fakes import Fake
from stand_in_gpus import stand_in
from torch import Tensor

from soundpost.engine import lanes
from soundpost.engine import run as run_module
from soundpost.errors import DeviceError
from soundpost.settings import RunSettings

GPU = "cpu:0"  # to torch a processor, to the engine a device that leaves the cores alone
SMALL = {"bins": 16, "widths": [4, 6], "strides": [2, 2]}


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processors pass for GPUs, under one name: what breaks the one breaks the other."""
    stand_in(monkeypatch, GPU, GPU)


def answers_of(settings: RunSettings) -> np.ndarray:
    """(clips, columns) of a run in this process that ends well."""
    assert run_module.run(settings) == 0
    return np.loadtxt(settings.out, delimiter=",", skiprows=1, usecols=range(1, 5), ndmin=2)


@pytest.mark.parametrize("model", ["compact", "hungry"])
def test_two_gpus_split_the_clips_and_change_no_answer(
    model: str,
    make_assets: Callable[..., Path],
    make_clips: Callable[..., Path],
    make_settings: Callable[..., RunSettings],
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    """Both devices get batches, and answers are those of the processor, even if batches do not fit the device."""
    contest = make_clips()
    expected = answers_of(make_settings(make_assets(folder="sound"), contest))
    request.getfixturevalue("two_gpus")
    used = []
    give = lanes.Lane.give
    monkeypatch.setattr(lanes.Lane, "give", lambda lane, job: (used.append(id(lane)), give(lane, job))[1])

    assets = make_assets({"model": {"name": model, **SMALL}})
    found = answers_of(make_settings(assets, contest, precision="float32"))

    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)
    assert len(set(used)) == 2


def test_gpu_without_room_for_long_clips_answers_them_in_parts(
    make_assets: Callable[..., Path],
    make_clips: Callable[..., Path],
    make_settings: Callable[..., RunSettings],
    request: pytest.FixtureRequest,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Answers that are means over frames are those of a device with room, for every clip; the log counts such clips."""
    request.getfixturevalue("two_gpus")
    contest = make_clips((0.5, 3.0, 2.9, 0.6, 2.5))  # up to 188 frames
    room = {"average": "logit", "model": {"name": "hungry_mean", "most": 512, **SMALL}, "folds": 1}
    expected = answers_of(make_settings(make_assets(room), contest, precision="float32"))
    capfd.readouterr()

    tight = {**room, "model": {**room["model"], "most_frames": 100}}
    found = answers_of(make_settings(make_assets(tight, folder="tight"), contest, precision="float32"))

    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    said = capfd.readouterr().out
    assert "5 of 5 clips predicted" in said
    assert "windows tiled for memory 3" in said


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize("calls_before", [0, 8])
def test_gpu_that_breaks_ends_the_engine_with_a_device_error(
    calls_before: int,
    make_assets: Callable[..., Path],
    make_clips: Callable[..., Path],
    make_settings: Callable[..., RunSettings],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At the start or in the middle: the supervisor then goes on without it, see test_supervisor.py."""
    calls = []

    def breaking(model: Fake, batch: Tensor) -> Tensor:
        calls.append(len(batch))
        if len(calls) > calls_before:
            raise RuntimeError("CUDA error: device-side assert triggered")
        return super(Fake, model).forward(batch)

    monkeypatch.setattr(Fake, "forward", breaking, raising=False)
    assets = make_assets({"model": {"name": "fake", **SMALL}})

    with pytest.raises(DeviceError, match=r"cpu:0: .*device-side assert triggered.*goes on without it"):
        run_module.run(make_settings(assets, make_clips(), precision="float32"))
