"""How long a GPU stands idle between two batches, on a stand-in that does what it was given in order, in its own time.

The lane, its buffers and its books are those of a run. Time is counted, not measured: cutting a batch takes the lane
some of it, computing one takes the device some, and who waits for a mark goes on when the device has come to it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from lane_networks import LaneNetwork
from torch import Tensor

from soundpost.engine import lanes
from soundpost.engine.batching import Unit
from soundpost.engine.lanes import Done, Job, Lane, Results
from soundpost.inference import host_buffers
from soundpost.inference.host_buffers import BUFFERS, HostBuffers, HostCopy
from soundpost.spectrograms.cache.slots import Slot
from soundpost.views.batch import stack
from soundpost.views.view import View, Window
from soundpost.views.whole import Whole, WholeSettings

JOBS = 20
DEPTH = 3  # jobs that the engine lets a lane have
SECONDS_TO_WAIT = 30.0


@dataclass
class Clock:
    """Two hands: how far the lane has come, and when the device will have done all that it was given."""

    lane: float = 0.0
    device: float = 0.0
    busy: float = 0.0

    def compute(self, seconds: float) -> None:
        """The lane gives the device something to do."""
        self.device = max(self.device, self.lane) + seconds
        self.busy += seconds


@dataclass(frozen=True)
class Mark:
    """Stands where the device's queue ended when it was made."""

    clock: Clock
    at: float

    def synchronize(self) -> None:
        """The lane waits until the device has come here."""
        self.clock.lane = max(self.clock.lane, self.at)


@dataclass(frozen=True)
class LateMark:
    """A mark that is made when somebody waits for it, as if the copy were queued only then."""

    clock: Clock

    def synchronize(self) -> None:
        """The lane waits for everything that the device has been given."""
        self.clock.lane = max(self.clock.lane, self.clock.device)


class Queued(HostBuffers):
    """A lane's buffers beside a device with a queue."""

    def __init__(self, clock: Clock, mark: Callable[[], host_buffers.Event]) -> None:
        super().__init__()
        self.clock, self.new_mark = clock, mark

    def is_queue(self, rows: Tensor) -> bool:
        return True

    def mark(self, rows: Tensor) -> host_buffers.Event:
        return self.new_mark()


@dataclass
class Network(LaneNetwork):
    """Answers with the largest number of each window, after the device's own time."""

    clock: Clock
    seconds: float

    def __call__(self, batch: Tensor, view: View) -> Tensor:
        self.clock.compute(self.seconds)
        return batch.flatten(1).amax(1, keepdim=True)


@dataclass
class Owner:
    """A pass that nobody ends."""

    is_over: bool = False

    def came_back(self, units: object) -> None:
        """Nothing is kept of it."""


@dataclass
class Engine(Results):
    """Gives a job as soon as one has come back, without any time of its own."""

    jobs: list[Job]
    done: list[Done] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def put(self, lane: Lane, done: Done) -> None:
        self.done.append(done)
        lane.answered(done.job)
        if self.jobs:
            lane.give(self.jobs.pop(0))
        else:
            lane.close()


def idle_share(
    monkeypatch: pytest.MonkeyPatch, stacking: float, computing: float, make_mark: Callable[[Clock], host_buffers.Event]
) -> tuple[float, list[Done]]:
    """How long a device with one lane is idle from the first cut to the last answer, as a share; what was answered."""
    clock = Clock()

    def slow_stack(*rest: object, **options: bool) -> Tensor:
        clock.lane += stacking
        return stack(*rest, **options)

    monkeypatch.setattr(lanes, "stack", slow_stack)
    monkeypatch.setattr(lanes.slots, "read", lambda slot, number, pages: np.full((1, 4, 8), number, np.float32))
    network, view = Network(clock, computing), Whole(WholeSettings())
    jobs = [
        Job(Owner(), network, view, (Unit(0, 0, 8),), (Window(0, 8),), ((Slot("memory", "float32", (1, 4, 8)), i),))
        for i in range(JOBS)
    ]
    engine = Engine(jobs[DEPTH:])
    lane = Lane("cuda:0", None, engine, Queued(clock, lambda: make_mark(clock)))
    for job in jobs[:DEPTH]:
        lane.give(job)
    lane._thread.join(SECONDS_TO_WAIT)
    assert len(engine.done) == JOBS
    return 1 - clock.busy / max(clock.lane, clock.device), engine.done


@pytest.mark.parametrize(("stacking", "computing", "most"), [(0.03, 0.25, 0.02), (0.02, 0.02, 0.08)])
def test_device_hardly_waits_between_batches(
    stacking: float, computing: float, most: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lane cuts a batch while the device computes the one before, whatever takes longer."""
    idle, _ = idle_share(monkeypatch, stacking, computing, lambda clock: Mark(clock, clock.device))
    assert 0 <= idle <= most


@pytest.mark.parametrize(("stacking", "computing", "least"), [(0.03, 0.25, 0.09), (0.02, 0.02, 0.45)])
def test_copies_queued_when_they_are_wanted_would_let_the_device_wait(
    stacking: float, computing: float, least: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stand-in tells the two ways apart, by as much as a device with one queue does."""
    idle, _ = idle_share(monkeypatch, stacking, computing, LateMark)
    assert idle >= least


def test_answers_of_reused_buffers_are_those_of_their_own_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """In order, none overwritten by a later batch."""
    _, done = idle_share(monkeypatch, 0.02, 0.02, lambda clock: Mark(clock, clock.device))
    assert [one.answers.item() for one in done] == list(range(JOBS))


def test_lane_makes_two_buffers_of_each_kind_however_many_batches_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches up to the largest so far need no new memory; what there is can be counted."""
    made: list[int] = []
    locked = host_buffers._locked
    monkeypatch.setattr(host_buffers, "_locked", lambda n: (made.append(n), locked(n))[1])
    buffers = Queued(clock := Clock(), lambda: Mark(clock, clock.device))

    for windows in (8, 3, 8, 1, 7, 2):
        batch = buffers.for_batch((windows, 1, 128, 256), torch.float16)
        assert batch.shape == (windows, 1, 128, 256)
        copy = buffers.begin_copy(torch.full((windows, 80), float(windows)))
        assert isinstance(copy, HostCopy)
        assert copy.wait().eq(windows).all()

    assert len(made) == 2 * BUFFERS
    assert buffers.n_bytes == sum(made)


def test_batch_lies_in_usual_memory_where_none_can_be_page_locked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy to the GPU that waits is slower, and nothing is lost; the batch itself tells."""
    empty = torch.empty

    def exhausted(*shape: object, pin_memory: bool = False, **others: object) -> Tensor:
        if pin_memory:
            raise RuntimeError("CUDA error: out of memory")
        return empty(*shape, **others)

    monkeypatch.setattr(torch, "empty", exhausted)
    batch = HostBuffers().for_batch((2, 1, 4, 4), torch.float32)
    assert batch.shape == (2, 1, 4, 4)
    assert not batch.is_pinned()
