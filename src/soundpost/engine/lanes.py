"""Lanes: one thread for each device (for each core, without a GPU) that reads, cuts, predicts and hands answers back.

A lane on a GPU prepares the next batch while the last one is computed, and asks for an answer one batch late.
A batch that does not fit into the device's memory is made to, see out_of_memory.
"""

import os
import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from soundpost.engine.batching import Unit
from soundpost.errors import sentence
from soundpost.inference.batch_model import BatchModel
from soundpost.inference.device_errors import is_broken_device
from soundpost.inference.out_of_memory import BatchAnswers, MemoryLosses, answer
from soundpost.spectrograms.cache import slots
from soundpost.spectrograms.cache.memory_tier import SharedPages
from soundpost.spectrograms.cache.slots import Slot
from soundpost.views.batch import stack
from soundpost.views.view import View, Window


@dataclass(frozen=True)
class Job:
    """One batch: windows of equal length, and where their clips' spectrograms lie."""

    predictor: BatchModel
    view: View
    units: tuple[Unit, ...]
    windows: tuple[Window, ...]
    sources: tuple[tuple[Slot, int], ...]  # slot and checksum, one for each unit

    @property
    def frames(self) -> int:
        """Cost: windows x frames."""
        return sum(unit.frames for unit in self.units)

    @property
    def members(self) -> int:
        """How many networks see every window."""
        return self.predictor.n_members


@dataclass(frozen=True)
class Done:
    """What came of a job."""

    job: Job
    answers: np.ndarray | None  # (units, classes) or (units, members, classes); None when the job failed whole
    seconds: float  # of wall clock
    damaged: tuple[int, ...] = ()  # clips whose spectrogram could not be read back
    losses: MemoryLosses = field(default_factory=MemoryLosses)  # what lack of memory cost
    error: str = ""  # why it failed
    is_broken: bool = False  # whether it failed because the device does not work


class Lane:
    """A thread that works on jobs of one device; results go into a common queue, with a byte down a pipe for each."""

    def __init__(self, device: str, pages: SharedPages | None, results: "Results") -> None:
        self.device = device
        self.waiting = 0  # jobs handed in and not yet answered
        self._pages = pages
        self._free_since = 0.0  # when the last answer came back
        self._results = results
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"lane {device}", daemon=True)
        self._thread.start()

    def give(self, job: Job) -> None:
        """Hand a job in."""
        self.waiting += 1
        self._jobs.put(job)

    def close(self) -> None:
        """End the thread after the jobs that it has."""
        self._jobs.put(None)

    def _run(self) -> None:
        if self.device == "cpu":
            torch.set_num_threads(1)  # parallel lanes, not parallel kernels: no core waits for another at a barrier
        pending: tuple[Job, BatchAnswers, MemoryLosses, tuple[int, ...], float] | None = None
        while True:
            if pending is not None and self._jobs.empty():
                self._finish(*pending)
                pending = None
            job = self._jobs.get()
            if job is None:
                break
            started = time.perf_counter()
            try:
                begun = self._begin(job)
            except Exception as error:  # whatever the network raises costs this batch, and is named
                seconds, is_broken = time.perf_counter() - started, is_broken_device(error)
                self._results.put(self, Done(job, None, seconds, error=sentence(error), is_broken=is_broken))
                continue
            if pending is not None:
                self._finish(*pending)
            pending = (*begun, started) if begun else None
        if pending is not None:
            self._finish(*pending)

    def _begin(self, job: Job) -> tuple[Job, BatchAnswers, MemoryLosses, tuple[int, ...]] | None:
        arrays: dict[int, np.ndarray | None] = {}
        for unit, source in zip(job.units, job.sources, strict=True):
            if unit.clip not in arrays:
                arrays[unit.clip] = slots.read(*source, self._pages.map if self._pages else None)
        damaged = tuple(clip for clip, array in arrays.items() if array is None)
        keep = [i for i, unit in enumerate(job.units) if unit.clip not in damaged]
        if damaged:
            job = Job(
                job.predictor,
                job.view,
                tuple(job.units[i] for i in keep),
                tuple(job.windows[i] for i in keep),
                tuple(job.sources[i] for i in keep),
            )
        if not keep:
            self._results.put(self, Done(job, None, 0.0, damaged))
            return None
        spectrograms: Sequence[np.ndarray] = [arrays[unit.clip] for unit in job.units]  # type: ignore[misc]
        batch = stack(spectrograms, job.windows, job.view, pinned=self.device != "cpu")
        answers, losses = answer(job.predictor, job.view, batch)
        if answers is None:
            self._results.put(self, Done(job, None, 0.0, damaged, losses))
            return None
        return job, answers, losses, damaged

    def _finish(
        self, job: Job, answers: BatchAnswers, losses: MemoryLosses, damaged: tuple[int, ...], started: float
    ) -> None:
        values, error, is_broken = None, "", False
        try:
            values = answers.cpu().numpy()  # waits for the device
        except Exception as problem:  # whatever the device raises costs this batch, and is named
            error, is_broken = sentence(problem), is_broken_device(problem)
        now = time.perf_counter()
        seconds = now - max(started, self._free_since)  # what overlaps the batch before is counted there
        self._free_since = now
        self._results.put(self, Done(job, values, seconds, damaged, losses, error, is_broken))


class Results:
    """Answers of all lanes, in the order in which they come; readable through a file descriptor."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[tuple[Lane, Done]] = queue.SimpleQueue()
        self.wake, self._bell = os.pipe()

    def put(self, lane: Lane, done: Done) -> None:
        """Called by a lane."""
        self._queue.put((lane, done))
        os.write(self._bell, b".")

    def take(self) -> list[tuple[Lane, Done]]:
        """All that has come; to be called when wake is readable, or at any time."""
        found = []
        while not self._queue.empty():
            lane, done = self._queue.get()
            os.read(self.wake, 1)
            lane.waiting -= 1
            found.append((lane, done))
        return found
