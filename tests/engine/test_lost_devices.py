"""A GPU that fails in any way costs itself: the others go on, else the engine ends, so that the cores can."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import RecipeMaker
from fakes import Fake
from stand_in_gpus import GPUS, stand_in
from torch import Tensor

from soundpost.engine import lanes, try_out
from soundpost.engine import run as run_module
from soundpost.errors import DeviceError, WeightsError
from soundpost.inference import model_pool
from soundpost.inference.batch_model import BatchModel
from soundpost.inference.out_of_memory import answer
from soundpost.inference.predictor import Predictor
from soundpost.settings import RunSettings

FAKE = {"model": {"name": "fake", "bins": 16, "widths": [4, 6], "strides": [2, 2]}}
BROKEN = "CUDA error: an illegal memory access was encountered"


class Trial:
    """Runs of one contest in this process, the first of them on sound processors."""

    def __init__(self, assets: Path, contest: Path, make_settings: Callable[..., RunSettings]) -> None:
        self._assets, self._contest, self._make_settings = assets, contest, make_settings
        self.events: list[dict[str, Any]] = []
        self.expected = self.run()

    def run(self, **settings: object) -> np.ndarray:
        """(clips, columns) of a run that ends well."""
        made = self._make_settings(self._assets, self._contest, **settings)
        self.events.clear()
        assert run_module.run(made, tell=self.events.append) == 0
        return np.loadtxt(made.out, delimiter=",", skiprows=1, usecols=range(1, 5), ndmin=2)

    def told(self, kind: str) -> list[dict[str, Any]]:
        """Events of one kind, of the latest run."""
        return [event for event in self.events if event["event"] == kind]


@pytest.fixture
def trial(
    make_assets: RecipeMaker,
    make_clips: Callable[..., Path],
    make_settings: Callable[..., RunSettings],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Trial:
    """Three members, twelve clips, two GPUs."""
    stand_in(monkeypatch, *GPUS)
    made = Trial(make_assets(FAKE), make_clips(), make_settings)
    capfd.readouterr()
    return made


def fail_on(device: str, after: int, happen: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let something happen in a device's lane from its batch of that number on; devices of all batches."""
    used: list[str] = []

    def failing(model: BatchModel, *batch: Any) -> Any:
        name = threading.current_thread().name.removeprefix("lane ")
        used.append(name)
        if name == device and used.count(device) > after:
            happen()
        return answer(model, *batch)

    monkeypatch.setattr(lanes, "answer", failing)
    return used


def break_down() -> None:
    raise RuntimeError(BROKEN)


def hang() -> None:
    time.sleep(600)


@pytest.mark.parametrize(("happen", "after"), [(break_down, 0), (break_down, 1), (break_down, 3), (hang, 1)])
def test_one_gpu_of_two_that_fails_costs_itself_and_no_answer(
    happen: Callable[[], None],
    after: int,
    trial: Trial,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Whatever it had is answered by the other one, in this pass and in all that follow; log and supervisor know."""
    used = fail_on("cpu:1", after, happen, monkeypatch)

    found = trial.run(time_limit_seconds=60.0 if happen is break_down else 24.0)

    np.testing.assert_allclose(found, trial.expected, rtol=0, atol=2e-6)
    said = capfd.readouterr().out
    assert "12 of 12 clips predicted" in said
    assert "3 of 3 passes complete" in said
    assert "device lost: cpu:1: " + ("RuntimeError: CUDA" if happen is break_down else "it hangs") in said
    assert trial.told("device lost") == [{"event": "device lost", "name": "cpu:1"}]
    assert 1 <= used.count("cpu:1") - after <= 3, "no batch is given to a device that is known to be lost"


def test_only_gpu_that_hangs_ends_the_engine_with_a_device_error(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    """The supervisor then starts one on the cores, which takes up the answers."""
    stand_in(monkeypatch, GPUS[0])
    fail_on(GPUS[0], 2, hang, monkeypatch)
    began = time.monotonic()

    with pytest.raises(DeviceError, match=r"cpu:0: it hangs, without an answer for 2 s\. The run goes on without it"):
        trial.run(time_limit_seconds=12.0)

    assert time.monotonic() - began < 12.0


@pytest.mark.parametrize("member", [1, 2, 3])
@pytest.mark.parametrize("reason", [BROKEN, "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED", "CUDA out of memory."])
def test_gpu_to_which_a_network_cannot_be_moved_is_lost_alone(
    reason: str,
    member: int,
    trial: Trial,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """At the try-out or between two passes: the other GPU answers every clip."""

    class Refusing(Predictor):
        def __init__(self, recipe: Any, fold: Any, arrays: Any, device: str, *rest: Any) -> None:
            if device == "cpu:0" and fold.name.endswith(f"/{member}"):
                raise RuntimeError(reason)
            super().__init__(recipe, fold, arrays, device, *rest)

    monkeypatch.setattr(model_pool, "Predictor", Refusing)

    found = trial.run()

    np.testing.assert_allclose(found, trial.expected, rtol=0, atol=2e-6)
    assert f"device lost: cpu:0: tiny0/{member} cannot be moved to it: RuntimeError: {reason}" in capfd.readouterr().out
    assert trial.told("device lost") == [{"event": "device lost", "name": "cpu:0"}]


def test_gpu_to_which_no_network_can_be_moved_ends_the_engine_where_it_is_the_only_one(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that the engine does not meet at a batch is a device error as well."""
    stand_in(monkeypatch, GPUS[0])

    class Refusing(Predictor):
        def __init__(self, *rest: Any) -> None:
            raise RuntimeError(BROKEN)

    monkeypatch.setattr(model_pool, "Predictor", Refusing)

    with pytest.raises(DeviceError, match=r"cpu:0: tiny0/1 cannot be moved to it.*The run goes on without it"):
        trial.run()


@pytest.mark.parametrize("device", GPUS)
def test_gpu_that_fails_at_the_try_out_is_lost_alone(
    device: str, trial: Trial, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whichever of the two it is."""
    fit, probe = try_out.fit_worst_batch, try_out.probe

    def failing(function: Callable[..., Any]) -> Callable[..., Any]:
        def tried(predictor: Predictor, *rest: Any) -> Any:
            if predictor.name_of_device == device:
                break_down()
            return function(predictor, *rest)

        return tried

    class Named(Predictor):
        def __init__(self, recipe: Any, fold: Any, arrays: Any, name: str, *rest: Any) -> None:
            super().__init__(recipe, fold, arrays, name, *rest)
            self.name_of_device = name

    monkeypatch.setattr(model_pool, "Predictor", Named)
    monkeypatch.setattr(try_out, "fit_worst_batch", failing(fit))
    monkeypatch.setattr(try_out, "probe", failing(probe))

    found = trial.run()

    np.testing.assert_allclose(found, trial.expected, rtol=0, atol=2e-6)
    assert f"device lost: {device}: {BROKEN}" in capfd.readouterr().out


@pytest.mark.parametrize(("on_gpu", "error"), [(True, DeviceError), (False, WeightsError)])
def test_run_in_which_every_batch_fails_for_an_unknown_reason_says_so(
    on_gpu: bool,
    error: type[Exception],
    make_assets: RecipeMaker,
    make_clips: Callable[..., Path],
    make_settings: Callable[..., RunSettings],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """On a GPU the cores are tried, whatever the words of the error; on cores it is a network that cannot be used."""
    stand_in(monkeypatch, *(GPUS if on_gpu else ("cpu", "cpu")))

    def failing(*batch: object) -> None:
        raise RuntimeError("words that nobody knows")

    monkeypatch.setattr(lanes, "answer", failing)

    with pytest.raises(error, match=r"no batch of any pass was answered; tiny0/1 whole: .*words that nobody knows"):
        run_module.run(make_settings(make_assets(FAKE), make_clips((0.3, 0.6))))

    said = capfd.readouterr().out
    assert "0 of 2 clips predicted" in said
    assert "0 of 3 passes complete, 3 failed" in said


@pytest.mark.parametrize("on_gpu", [True, False])
def test_network_that_cannot_be_tried_out_on_a_gpu_for_an_unknown_reason_is_tried_on_the_cores(
    on_gpu: bool,
    make_assets: RecipeMaker,
    make_clips: Callable[..., Path],
    make_settings: Callable[..., RunSettings],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only where the cores cannot either, the run is refused."""
    stand_in(monkeypatch, *(GPUS if on_gpu else ("cpu", "cpu")))

    def failing(model: Fake, batch: Tensor) -> Tensor:
        raise RuntimeError("words that nobody knows")

    monkeypatch.setattr(Fake, "forward", failing, raising=False)
    words = r"no network works there: .*on without a GPU" if on_gpu else r"no member can be used\..*words that nobody"

    with pytest.raises(DeviceError if on_gpu else WeightsError, match=words):
        run_module.run(make_settings(make_assets(FAKE), make_clips((0.3, 0.6))))


def test_pass_in_which_every_batch_fails_is_a_failed_pass_and_not_a_complete_one(
    make_assets: RecipeMaker,
    make_clips: Callable[..., Path],
    make_settings: Callable[..., RunSettings],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Its member is left out from then on; the others answer every clip."""
    stand_in(monkeypatch, "cpu", "cpu")
    contest = make_clips((0.3, 0.6))
    views = {"views": [{"name": "whole"}, {"name": "whole", "max_frames": 32}]}
    broken = {"name": "broken", **views, "model": {**FAKE["model"], "name": "broken"}, "folds": 1}
    assets = make_assets({"name": "sound", "folds": 2}, broken)

    assert run_module.run(make_settings(assets, contest)) == 0

    said = capfd.readouterr().out
    assert "2 of 2 clips predicted" in said
    assert "2 of 4 passes complete, 1 failed" in said
    assert "pass failed: broken/1 whole: no batch was answered: ValueError: a kernel that nobody has written" in said
    assert "member skipped: broken/1: no batch of its pass broken/1 whole was answered" in said


def test_engine_gives_signs_of_life_while_it_uses_a_gpu_and_promises_none_at_its_end(trial: Trial) -> None:
    """From before the first touch of a device to the last pass; the last write may take as long as it does."""
    trial.run(device="auto", time_limit_seconds=60.0)

    kinds = [event["event"] for event in trial.events]
    assert kinds[0] == "alive"
    assert kinds.index("alive") < kinds.index("devices")
    assert trial.told("devices") == [{"event": "devices", "names": list(GPUS)}]
    signs = [event["within"] for event in trial.told("alive")]
    assert signs[0] == 10.0
    assert signs[-1] == 0
    assert kinds[-1] == "finished"


def test_engine_on_cores_promises_no_signs_of_life(
    make_assets: RecipeMaker, make_clips: Callable[..., Path], make_settings: Callable[..., RunSettings]
) -> None:
    """A core that is busy for long is no broken one."""
    events: list[dict[str, Any]] = []

    assert run_module.run(make_settings(make_assets(), make_clips((0.3,))), tell=events.append) == 0

    assert [event for event in events if event["event"] == "alive"] == []
