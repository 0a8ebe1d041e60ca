"""A GPU that fails with any library's words ends the engine, so that the run goes on without it and loses no clip."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from fakes import Fake
from networks import SETTINGS, let_recipes_ask_for_fakes
from torch import Tensor

from soundpost.engine import provision
from soundpost.engine import run as run_module
from soundpost.errors import DeviceError
from soundpost.inference.predictor import Predictor
from soundpost.settings import RunSettings

GPU = "cpu:0"  # to torch a processor, to the engine a device that leaves the cores alone


@pytest.fixture(autouse=True)
def one_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor passes for a GPU; what only CUDA can do is left out."""
    let_recipes_ask_for_fakes(monkeypatch)
    monkeypatch.setattr(provision, "choose_devices", lambda asked: [GPU])
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2**28, 2**28))
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)


@pytest.mark.parametrize("calls_before", [0, 8], ids=["try-out", "mid-run"])
@pytest.mark.parametrize(
    "text",
    [
        "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
        "cuDNN error: CUDNN_STATUS_NOT_INITIALIZED",
        "GET was unable to find an engine to execute this computation",
        "nvrtc: error: invalid value for --gpu-architecture (-arch)",
        "CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm(handle, ...)`",
    ],
    ids=["cudnn", "not initialised", "no engine", "nvrtc", "cublas"],
)
def test_gpu_that_fails_with_any_words_is_given_up(
    text: str,
    calls_before: int,
    make_assets: Callable[..., Path],
    make_clips: Callable[..., Path],
    make_settings: Callable[..., RunSettings],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No member is skipped for it and no clip closed: an engine without the GPU goes on where this one stood."""
    calls: list[int] = []

    def breaking(model: Fake, batch: Tensor) -> Tensor:
        calls.append(len(batch))
        if len(calls) > calls_before:
            raise RuntimeError(text)
        return super(Fake, model).forward(batch)

    monkeypatch.setattr(Fake, "forward", breaking, raising=False)
    assets = make_assets({"model": {"name": "fake", **SETTINGS}})

    with pytest.raises(DeviceError, match="goes on without it"):
        run_module.run(make_settings(assets, make_clips(), precision="float32"))


@pytest.mark.parametrize("number", ["1", "2"])
def test_gpu_that_fails_while_a_network_is_moved_to_it_is_given_up(
    number: str,
    make_assets: Callable[..., Path],
    make_clips: Callable[..., Path],
    make_settings: Callable[..., RunSettings],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At the try-out or between two passes; it is no defect of the engine's."""
    init = Predictor.__init__

    def failing(self: Predictor, recipe: object, member: object, *rest: object) -> None:
        if member.fold == number:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        init(self, recipe, member, *rest)

    monkeypatch.setattr(Predictor, "__init__", failing)

    with pytest.raises(DeviceError, match=f"tiny0/{number} cannot be moved to it"):
        run_module.run(make_settings(make_assets(), make_clips(), precision="float32"))
