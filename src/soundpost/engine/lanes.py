"""Lanes: one thread for each device (for each core, without a GPU) that reads, cuts, predicts and hands answers back.

A lane on a GPU prepares the next batch while the last one is computed. Answers are copied right behind the batch that
gives them and waited for one batch late, so that neither the device nor the lane waits for more than it needs.
A batch that does not fit into the device's memory is made to, see out_of_memory.
"""

import os
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch

from soundpost.engine.batching import Unit
from soundpost.errors import sentence
from soundpost.inference.batch_model import BatchModel
from soundpost.inference.device_errors import is_broken_device
from soundpost.inference.host_buffers import HostBuffers
from soundpost.inference.out_of_memory import BatchAnswers, MemoryLosses, answer, finished
from soundpost.spectrograms.cache import slots
from soundpost.spectrograms.cache.memory_tier import SharedPages
from soundpost.spectrograms.cache.slots import Slot
from soundpost.views.batch import stack
from soundpost.views.view import View, Window


class Owner(Protocol):
    """The pass that a job belongs to, as lanes and their results need it."""

    is_over: bool  # nobody waits for its jobs any more, so those that are not begun need not be

    def came_back(self, units: Sequence[Unit]) -> None:
        """A lane reads these windows no more, whatever came of them."""


@dataclass(frozen=True, eq=False)
class Job:
    """One batch: windows of equal length, and where their clips' spectrograms lie."""

    owner: Owner
    predictor: BatchModel
    view: View
    units: tuple[Unit, ...]
    windows: tuple[Window, ...]
    sources: tuple[tuple[Slot, int], ...]  # slot and checksum, one for each unit


@dataclass(frozen=True)
class Done:
    """What came of a job."""

    job: Job
    units: tuple[Unit, ...] = ()  # those that could be read, in the order of the answers
    answers: np.ndarray | None = None  # (units, classes) or (units, members, classes); None when the job failed whole
    seconds: float = 0.0  # wall clock that it took
    damaged: tuple[int, ...] = ()  # clips whose spectrogram could not be read back
    losses: MemoryLosses = field(default_factory=MemoryLosses)  # what lack of memory cost
    error: str = ""  # why it failed
    is_broken: bool = False  # whether it failed because the device does not work

    @property
    def frames(self) -> int:
        """Cost: windows x frames, for each network that saw them."""
        return sum(unit.frames for unit in self.units) * self.job.predictor.n_members


@dataclass(frozen=True)
class _Begun:
    """A job whose answers the device may still be computing."""

    job: Job
    units: tuple[Unit, ...]
    damaged: tuple[int, ...]
    answers: BatchAnswers
    losses: MemoryLosses
    started: float


class Lane:
    """A thread that works on jobs of one device; results go into a common queue, with a byte down a pipe for each.

    Whatever a job raises is that job's result: the thread itself ends only when it is closed.

    Args:
        device: "cpu", "cuda:0", ...
        pages: the cache's memory tier.
        results: takes what comes of the jobs.
        buffers: host memory for what goes to a GPU and comes from it; its own when there is none.
    """

    def __init__(
        self, device: str, pages: SharedPages | None, results: "Results", buffers: HostBuffers | None = None
    ) -> None:
        self.device = device
        self.jobs: list[Job] = []  # handed in and not yet answered, the oldest first; the engine's side of the books
        self.is_abandoned = False
        self._since = time.monotonic()  # when the engine last gave a job to an idle lane, or heard of it
        self._is_cuda = device.startswith("cuda")
        self._buffers = buffers or HostBuffers()
        self._pages = pages
        self._free_since = 0.0  # when the last answer came back
        self._results = results
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"lane {device}", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many jobs are handed in and not yet answered."""
        return len(self.jobs)

    @property
    def silent_seconds(self) -> float:
        """How long the engine has waited for the oldest job of this lane; 0 when there is none."""
        return time.monotonic() - self._since if self.jobs else 0.0

    def give(self, job: Job) -> None:
        """Hand a job in."""
        if not self.jobs:
            self._since = time.monotonic()
        self.jobs.append(job)
        self._queue.put(job)

    def answered(self, job: Job) -> None:
        """The engine has taken in what came of a job."""
        self.jobs = [other for other in self.jobs if other is not job]
        self._since = time.monotonic()

    def abandon(self) -> None:
        """The device is lost: nothing that still comes of this lane is taken in."""
        self.is_abandoned = True
        self.close()

    def close(self) -> None:
        """End the thread after the jobs that it has."""
        self._queue.put(None)

    def _run(self) -> None:
        torch.set_num_threads(1)  # parallel lanes, not parallel kernels: no core waits for another at a barrier
        begun: _Begun | None = None
        while True:
            if begun is not None and self._queue.empty():
                self._finish(begun)
                begun = None
            job = self._queue.get()
            if job is None:
                break
            following = self._begin(job)
            if begun is not None:
                self._finish(begun)
            begun = following
        if begun is not None:
            self._finish(begun)

    def _begin(self, job: Job) -> _Begun | None:
        """Start the job's computation; None when that is already all that comes of it."""
        started = time.perf_counter()
        if job.owner.is_over or self.is_abandoned:
            self._results.put(self, Done(job))
            return None
        try:
            begun = self._compute(job, started)
        except BaseException as error:  # whatever the network raises costs this batch, and is named
            seconds, is_broken = time.perf_counter() - started, is_broken_device(error)
            self._results.put(self, Done(job, seconds=seconds, error=sentence(error), is_broken=is_broken))
            return None
        if isinstance(begun, Done):
            self._results.put(self, begun)
            return None
        return begun

    def _compute(self, job: Job, started: float) -> _Begun | Done:
        arrays: dict[int, np.ndarray | None] = {}
        for unit, source in zip(job.units, job.sources, strict=True):
            if unit.clip not in arrays:
                arrays[unit.clip] = slots.read(*source, self._pages.map if self._pages else None)
        damaged = tuple(clip for clip, array in arrays.items() if array is None)
        there = [
            (unit, window, array)
            for unit, window in zip(job.units, job.windows, strict=True)
            if (array := arrays[unit.clip]) is not None
        ]
        if not there:
            return Done(job, damaged=damaged)
        units, windows, spectrograms = zip(*there, strict=True)
        room = self._buffers.for_batch if self._is_cuda else None
        batch = stack(spectrograms, windows, job.view, room, is_plain=self._is_cuda)
        if self._is_cuda:
            batch = finished(batch, windows, job.view, job.predictor.device)
        answers, losses = answer(job.predictor, job.view, batch, self._buffers)
        if answers is None:
            return Done(job, units, damaged=damaged, losses=losses)
        return _Begun(job, units, damaged, answers, losses, started)

    def _finish(self, begun: _Begun) -> None:
        values, error, is_broken = None, "", False
        try:
            values = begun.answers.cpu().numpy()  # waits for the device
        except BaseException as problem:  # whatever the device raises costs this batch, and is named
            error, is_broken = sentence(problem), is_broken_device(problem)
        now = time.perf_counter()
        seconds = now - max(begun.started, self._free_since)  # what overlaps the batch before is counted there
        self._free_since = now
        done = Done(begun.job, begun.units, values, seconds, begun.damaged, begun.losses, error, is_broken)
        self._results.put(self, done)


class Results:
    """Answers of all lanes, in the order in which they come; readable through a file descriptor."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[tuple[Lane, Done]] = queue.SimpleQueue()
        self.wake, self._bell = os.pipe()

    def put(self, lane: Lane, done: Done) -> None:
        """Called by a lane."""
        self._queue.put((lane, done))
        os.write(self._bell, b".")

    def take(self) -> Iterator[tuple[Lane, Done]]:
        """All that has come, one after the other, but of lanes that were abandoned; to be called at any time.

        A lane may be abandoned between two of them.
        """
        while not self._queue.empty():
            lane, done = self._queue.get()
            os.read(self.wake, 1)
            if not lane.is_abandoned:
                lane.answered(done.job)
                yield lane, done
