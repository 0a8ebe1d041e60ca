"""What the thread of a GPU's lane does itself, and what it leaves to the device; on stand-ins."""

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from lane_networks import LaneNetwork
from torch import Tensor

from soundpost.engine import lanes
from soundpost.engine.batching import Unit
from soundpost.engine.lanes import Done, Job, Lane, Results
from soundpost.inference.host_buffers import HostBuffers
from soundpost.inference.out_of_memory import finished
from soundpost.spectrograms.cache.slots import Slot
from soundpost.views.batch import stack
from soundpost.views.view import View, Window
from soundpost.views.zoomed_crops import ZoomedCrops, ZoomedCropsSettings

FRAMES = 60
SECONDS_TO_WAIT = 30.0


class Counted(ZoomedCrops):
    """Zooms that tell where they are made: one after the other by a lane, or many at once."""

    def __init__(self) -> None:
        super().__init__(ZoomedCropsSettings(frames=32))
        self.cuts = 0
        self.batches: list[int] = []

    def cut(self, spectrogram: Tensor, window: Window) -> Tensor:
        self.cuts += 1
        return super().cut(spectrogram, window)

    def finish(self, batch: Tensor, windows: object) -> Tensor:
        self.batches.append(len(batch))
        return super().finish(batch, windows)


@dataclass
class Network(LaneNetwork):
    """Answers with the mean of each window, and notes how many threads its calls have."""

    threads: list[int] = field(default_factory=list)

    def __call__(self, batch: Tensor, view: View) -> Tensor:
        self.threads.append(torch.get_num_threads())
        return batch.float().flatten(1).mean(1, keepdim=True)


@dataclass
class Owner:
    """A pass that nobody ends."""

    is_over: bool = False

    def came_back(self, units: object) -> None:
        """Nothing is kept of it."""


CLIP = np.random.default_rng(0).random((1, 16, FRAMES)).astype(np.float32)


def answered(device: str, view: View, network: Network, monkeypatch: pytest.MonkeyPatch) -> Done:
    """What a lane makes of one job with all windows of a clip."""
    monkeypatch.setattr(lanes.slots, "read", lambda *_: CLIP)
    done: list[Done] = []

    class Kept(Results):
        def put(self, lane: Lane, one: Done) -> None:
            done.append(one)
            lane.close()

    windows = view.windows(FRAMES)
    units = tuple(Unit(0, i, window.frames) for i, window in enumerate(windows))
    lane = Lane(device, None, Kept(), HostBuffers())
    lane.give(Job(Owner(), network, view, units, windows, ((Slot("memory", "float32", CLIP.shape), 0),) * len(units)))
    lane._thread.join(SECONDS_TO_WAIT)
    assert len(done) == 1
    assert not done[0].error
    return done[0]


def test_zooms_are_made_on_the_device_where_it_is_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lane of a GPU cuts plain crops and has the device zoom the whole batch; a core zooms as it cuts."""
    on_gpu, on_core = Counted(), Counted()
    found = answered("cuda:0", on_gpu, Network(), monkeypatch)
    expected = answered("cpu", on_core, Network(), monkeypatch)

    assert (on_gpu.cuts, on_gpu.batches) == (0, [9])
    assert (on_core.cuts, on_core.batches) == (9, [])
    np.testing.assert_allclose(found.answers, expected.answers, rtol=0, atol=1e-6)
    assert np.ptp(expected.answers) > 1e-3, "all windows are alike"


def test_zooms_that_find_no_room_on_the_device_are_made_by_the_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is short there is given back first; the answers are the same."""
    said: list[str] = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: said.append("given back"))
    view = Counted()
    batch = stack([CLIP] * 9, view.windows(FRAMES), view, is_plain=True)
    expected = ZoomedCrops.finish(view, batch, view.windows(FRAMES))
    move = Tensor.to

    def full(tensor: Tensor, *to: object, **others: object) -> Tensor:
        if to and isinstance(to[0], torch.device) and to[0].type == "cuda":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return move(tensor, *to, **others)

    monkeypatch.setattr(Tensor, "to", full)
    found = finished(batch, view.windows(FRAMES), view, torch.device("cuda:0"))
    assert said == ["given back"]
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
def test_lane_computes_with_one_thread(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two lanes that each took all cores would wait for one another."""
    torch.set_num_threads(2)
    try:
        network = Network()
        answered(device, Counted(), network, monkeypatch)
    finally:
        torch.set_num_threads(1)
    assert set(network.threads) == {1}
