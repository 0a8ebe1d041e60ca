"""Moving a network to its device can fail like any other step: the device is given up, or one member is left out."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from soundpost.ensemble.weights_folder import find_assets
from soundpost.errors import DeviceError
from soundpost.inference.model_pool import ModelPool
from soundpost.inference.predictor import Predictor

GPU = "cpu:0"  # to torch a processor, to the engine a GPU
FULL = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")

Fail = Callable[..., list[str]]


@pytest.fixture
def fail(monkeypatch: pytest.MonkeyPatch) -> Fail:
    """Makes the networks of one member fail with these errors, one after the other, then work; returns those asked."""
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    init = Predictor.__init__

    def make(member: str, *errors: Exception) -> list[str]:
        asked: list[str] = []
        waiting = list(errors)

        def failing(self: Predictor, recipe: object, which: object, *rest: object) -> None:
            asked.append(which.name)
            if which.name == member and waiting:
                raise waiting.pop(0)
            init(self, recipe, which, *rest)

        monkeypatch.setattr(Predictor, "__init__", failing)
        return asked

    return make


@pytest.fixture
def skipped() -> dict[str, str]:
    """Members that a pool leaves out, and why."""
    return {}


@pytest.fixture
def pool(make_assets: Callable[..., Path], skipped: dict[str, str]) -> ModelPool:
    """Three members of one recipe on a GPU."""
    made = ModelPool(find_assets(make_assets()), (), 0, "float32", skipped.__setitem__)
    made.devices = [GPU]
    return made


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"),
        torch.cuda.DeferredCudaCallError("device >= 0 && device < num_gpus INTERNAL ASSERT FAILED"),
    ],
    ids=["CUDA", "cuDNN", "deferred"],
)
def test_device_that_breaks_while_a_network_is_moved_to_it_is_given_up(
    error: Exception, fail: Fail, pool: ModelPool, skipped: dict[str, str]
) -> None:
    """The error is one that ends the engine, not a defect, and no member is blamed."""
    fail("tiny0/2", error)
    with pytest.raises(DeviceError, match=r"cpu:0: tiny0/2 cannot be moved to it: .* The run goes on without it"):
        pool.predictors(1)
    assert pool.predictors(0) is not None
    assert skipped == {}


def test_front_end_that_cannot_be_compiled_costs_the_members_of_its_recipe(
    make_assets: Callable[..., Path], skipped: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are named and left out before anything is forked; the members of other recipes go on."""
    drawn = {"name": "drawn", "front_end": {"name": "reassigned_picture"}, "folds": 2}
    made = ModelPool(find_assets(make_assets({"folds": 1}, drawn)), (), 0, "float32", skipped.__setitem__)
    made.devices = [GPU]
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delitem(sys.modules, "soundpost.front_ends.landing", raising=False)
    monkeypatch.delattr("soundpost.front_ends.landing", raising=False)
    made.compile()
    assert list(skipped) == ["drawn/1", "drawn/2"]
    assert skipped["drawn/1"].startswith("reassigned pictures are computed by numba, which cannot be used here")
    assert [made.predictors(number) is None for number in range(3)] == [False, True, True]
    assert {p.member for p in made.open_passes()} == {0}


def test_network_that_has_no_room_is_moved_once_more_and_that_is_told(fail: Fail, pool: ModelPool) -> None:
    """The allocator may hold what nobody uses; it is given back first."""
    asked = fail("tiny0/1", FULL)
    assert pool.predictors(0) is not None
    assert asked == ["tiny0/1", "tiny0/1"]
    assert list(pool.notes) == ["tiny0/1: cpu:0 had room for it only after unused memory was given back"]


def test_device_without_room_for_one_network_is_given_up(fail: Fail, pool: ModelPool) -> None:
    """The cores have the room."""
    fail("tiny0/1", FULL, FULL)
    with pytest.raises(DeviceError, match="cannot be moved to it: OutOfMemoryError: CUDA out of memory"):
        pool.predictors(0)


def test_member_that_cannot_be_built_is_left_out_whatever_it_raises(
    fail: Fail, pool: ModelPool, skipped: dict[str, str]
) -> None:
    """An error of the network's own making costs that member alone, and is named."""
    fail("tiny0/2", RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert pool.predictors(1) is None
    assert skipped == {"tiny0/2": "RuntimeError: mat1 and mat2 shapes cannot be multiplied"}
    assert {work.member for work in pool.open_passes()} == {0, 2}


def test_lack_of_host_memory_costs_the_member(fail: Fail, pool: ModelPool, skipped: dict[str, str]) -> None:
    """On a processor no device can be given up."""
    pool.devices = ["cpu"]
    fail("tiny0/3", MemoryError())
    assert pool.predictors(2) is None
    assert skipped == {"tiny0/3": "MemoryError: no message"}
