"""Memory of a GPU and of its host: tried out in turn, shared out before the first pass; on stand-ins."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from stand_in_gpus import stand_in

from soundpost.engine import provision, try_out
from soundpost.engine.provision import provisioned
from soundpost.engine.try_out import TryOut
from soundpost.inference.host_buffers import BUFFERS, ROUNDED_TO, HostBuffers
from soundpost.inference.profiling import Probed
from soundpost.resources import memory_budget
from soundpost.resources.memory import GIB, MIB, MemoryGroup
from soundpost.resources.memory_budget import (
    CUDA_SHARE,
    CUDNN_PLAN_BYTES,
    CUDNN_PLANS,
    GROWTH_BYTES,
    MARGIN_SHARE,
    PINNED_BATCHES,
    Budget,
)
from soundpost.settings import RunSettings

GPU = "cpu:0"  # to torch a processor, to the engine a device that leaves the cores alone
DEVICE_BYTES = 2 * GIB
FRAME_BYTES = 8192.0  # a window x frame takes so much device memory


class Allocator:
    """Device memory as torch's allocator has it: what a batch took stays taken until it is given back."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, gives_back: bool) -> None:
        self.held = 0
        self.gives_back = gives_back
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (DEVICE_BYTES - self.held, DEVICE_BYTES))
        monkeypatch.setattr(torch.cuda, "empty_cache", self.empty)
        monkeypatch.setattr(try_out, "probe", lambda *_: Probed(FRAME_BYTES, 1e-6))
        monkeypatch.setattr(try_out, "fit_worst_batch", self.fit)

    def empty(self) -> None:
        """What no tensor needs goes back to the device."""
        self.held = 0 if self.gives_back else self.held

    def fit(self, predictor: object, view: object, shape: object, frames: int) -> int:
        """A batch of so many frames runs, and leaves its memory with the allocator."""
        self.held += int(frames * FRAME_BYTES)
        return frames


@pytest.fixture
def tried_out(
    make_assets: Callable[..., Path], make_clips: Callable[..., Path], make_settings: Callable[..., RunSettings],
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[bool], TryOut]:  # fmt: skip
    """What the try-out of three recipes of one kind finds, with an allocator that gives back or does not."""

    def made(gives_back: bool) -> TryOut:
        stand_in(monkeypatch, GPU)
        Allocator(monkeypatch, gives_back)
        found: list[TryOut] = []

        class Kept(TryOut):
            def __init__(self, *rest: Any) -> None:
                super().__init__(*rest)
                self.found_frames = dict(self.batch_frames)
                found.append(self)

        monkeypatch.setattr(provision, "TryOut", Kept)
        with provisioned(make_settings(make_assets({}, {}, {}), make_clips((0.5,)))):
            return found[0]

    return made


def test_third_recipe_gets_the_batches_of_the_first(tried_out: Callable[[bool], TryOut]) -> None:
    """What a recipe's try-out took is given back before the next one asks how much there is."""
    frames = tried_out(True).found_frames
    assert list(frames) == ["tiny0", "tiny1", "tiny2"]
    assert set(frames.values()) == {int(memory_budget.GPU_SHARE * DEVICE_BYTES / FRAME_BYTES)}


def test_third_recipe_would_get_a_fraction_if_nothing_were_given_back(tried_out: Callable[[bool], TryOut]) -> None:
    """The stand-in tells the two apart."""
    first, _, third = tried_out(False).found_frames.values()
    assert third < 0.1 * first


@pytest.mark.parametrize(
    ("device", "groups", "kept_free"),
    [
        (GPU, [], CUDA_SHARE),
        (GPU, [MemoryGroup(64 * GIB, GIB)], MARGIN_SHARE),
        ("cpu", [], MARGIN_SHARE),
    ],
    ids=["GPU", "GPU in a cgroup", "cores"],
)
def test_memory_that_cuda_takes_later_is_kept_free_where_no_cgroup_bounds_it(
    device: str,
    groups: list[MemoryGroup],
    kept_free: float,
    make_assets: Callable[..., Path],
    make_clips: Callable[..., Path],
    make_settings: Callable[..., RunSettings],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All parts that the budget gives away leave 15 % of the limit on a GPU, 6 % elsewhere."""
    stand_in(monkeypatch, device)
    monkeypatch.setattr(provision, "memory_groups", lambda: groups)
    share, shared = memory_budget.share, []

    def noted(limit_bytes: int, resident_bytes: int, *rest: Any) -> Budget:
        shared.append((limit_bytes, resident_bytes, share(limit_bytes, resident_bytes, *rest)))
        return shared[-1][2]

    monkeypatch.setattr(memory_budget, "share", noted)
    with provisioned(make_settings(make_assets(), make_clips((0.5,)), memory_limit_bytes=4 * GIB)):
        ((limit, resident, given),) = shared

    parts = given.lanes * given.lane_bytes + given.cache_bytes + given.workers * given.worker_bytes
    assert 1 - (resident + GROWTH_BYTES + parts) / limit == pytest.approx(kept_free, abs=1e-4)


@pytest.mark.parametrize("plenty", [True, False])
def test_page_locked_batches_and_plans_of_a_lane_have_room_in_the_budget(
    plenty: bool, tried_out: Callable[[bool], TryOut]
) -> None:
    """Two locked batches and cuDNN's plans are what a lane asks for; given less, batches take half of it at most."""
    tried = tried_out(True)
    tried.batch_frames.update(tried.found_frames)
    plans = CUDNN_PLANS * CUDNN_PLAN_BYTES
    given = tried.pinned_bytes if plenty else 20 * MIB
    room = given - plans if plenty else given // 2
    frames = tried.frames_pinned("tiny0", given)
    if plenty:
        assert frames == tried.found_frames["tiny0"]
    else:
        assert 1 < frames < tried.found_frames["tiny0"]

    buffers, channels, bins = HostBuffers(), 1, tried._frame_bytes["tiny0"] // 4
    for _ in range(5):
        buffers.for_batch((1, channels, bins, frames), torch.float32)

    assert PINNED_BATCHES == BUFFERS
    assert 0.9 * room < buffers.n_bytes <= room + BUFFERS * ROUNDED_TO
