"""What workers make: clips are given to them, room is given to their spectrograms, and their news is taken in."""

import time
from collections import deque
from dataclasses import asdict

import numpy as np

from soundpost.engine.clip_states import ClipStates, PassPlan
from soundpost.engine.session import Session
from soundpost.spectrograms.cache import Key
from soundpost.spectrograms.cache.slots import Shape, Slot
from soundpost.spectrograms.worker_messages import Died, Failed, Message, Refused, RowsWanted, Stored, Task, Wanted
from soundpost.spectrograms.worker_pool import Worker

STALL_SECONDS = 60.0  # a worker that is longer at one clip is taken for stuck
HIGH_WATER = 8  # budgets of each lane that may wait before spectrograms that are not kept are made no further


class ExtractStage:
    """Makes the spectrograms that one pass lacks."""

    def __init__(self, session: Session, plan: PassPlan, states: ClipStates) -> None:
        self._session = session
        self._plan = plan
        self._states = states
        self._wants: deque[tuple[Worker, Shape]] = deque()  # workers that wait for room

    @property
    def waiting_workers(self) -> int:
        """Workers that wait for room, and so use no core."""
        return len(self._wants)

    def feed(self) -> None:
        """Room and clips for those workers that wait for either."""
        session, states = self._session, self._states
        self._grant()
        if not session.pool.workers:
            while states.absent:
                clip = states.absent.popleft()
                states.give_up(clip, f"{session.clips[clip].name}: no worker is left to read it")
        high_water = HIGH_WATER * len(session.lanes) * states.groups.budget_frames
        for worker in session.pool.idle():
            if not states.absent or session.free_cores(self.waiting_workers) <= 0:
                return
            if states.groups.waiting_frames >= high_water and not self._plan.keep:
                return
            worker.give(self._task(states.absent.popleft()))

    def _task(self, clip: int) -> Task:
        path, recipe = self._session.clips[clip].path, self._plan.recipe
        assert path is not None
        return Task(
            clip,
            str(path),
            self._states.digest,
            dict(recipe.audio),
            recipe.front_end.name,
            dict(recipe.front_end.settings),
            self._session.max_seconds,
            self._rows_wanted(clip),
            self._session.clips[clip].stretch,
        )

    def _rows_wanted(self, clip: int) -> RowsWanted | None:
        windows = self._session.contest.windows
        if windows is None:
            return None
        settings = asdict(self._session.models.sizes.windows(self._plan.recipe))
        return RowsWanted(settings, *self._states.heard(clip), windows.stretches[clip].total)

    def heard(self, worker: Worker, message: Message) -> None:
        """Take one worker's news in."""
        cache, report = self._session.cache, self._session.report
        if worker.task is None:
            report.counts["workers died"] += isinstance(message, Died)
            return
        clip = worker.task.clip
        key = Key(worker.task.digest, clip)
        match message:
            case Wanted():
                report.decoded(worker.task.clip, message.remarks, message.silent, message.second_reader)
                report.seconds["decode (CPU)"] += message.decode_cpu_seconds
                report.audio_seconds += message.seconds
                self._wants.append((worker, message.shape))
                self._grant()
            case Refused():
                shape = cache.shape(key)
                cache.abandon(key, disk_is_full=True)
                self._wants.append((worker, shape))
                self._grant()
            case Stored():
                report.seconds["features (CPU)"] += message.features_cpu_seconds
                report.spectrograms[worker.task.digest, worker.task.front_end] += 1
                cache.commit(key, message.checksum)
                worker.task = None
                self._states.ready(clip, known=False)
            case Failed():
                cache.abandon(key)
                worker.task = None
                self._states.give_up(clip, message.reason)
            case Died():
                report.counts["workers died"] += 1
                cache.abandon(key)
                self._wants = deque(want for want in self._wants if want[0] is not worker)
                self._states.try_again(clip, message.reason)

    def watch(self) -> None:
        """Workers that are too long at one clip are replaced, and the clip is given up."""
        session = self._session
        now = time.monotonic()
        for worker in session.pool.busy():
            waits = any(want[0] is worker for want in self._wants)
            if not waits and now - worker.since > STALL_SECONDS:
                assert worker.task is not None
                clip, digest = worker.task.clip, worker.task.digest
                session.report.counts["workers stuck"] += 1
                session.pool.replace(worker)
                session.cache.abandon(Key(digest, clip))
                self._states.give_up(clip, f"{session.clips[clip].name}: not read within {STALL_SECONDS:.0f} s")

    # ------------------------------------------------------------ room

    def _grant(self) -> None:
        """Give out slots for which there is room; the others wait until something is released."""
        session = self._session
        for _ in range(len(self._wants)):
            worker, shape = self._wants.popleft()
            assert worker.task is not None
            key = Key(worker.task.digest, worker.task.clip)
            slot = session.cache.reserve(key, shape, self._plan.keep)
            if slot is None and self._is_hopeless():
                slot = self._find_room(key, shape)
            if slot is not None:
                worker.since = time.monotonic()
                worker.tell(slot)
            elif self._is_hopeless():
                size = int(np.prod(shape)) * 4
                clip = worker.task.clip
                worker.tell(None)
                worker.task = None
                name = session.clips[clip].name
                self._states.give_up(clip, f"{name}: its spectrogram of {size:,} bytes fits no tier")
            else:
                self._wants.append((worker, shape))

    def _find_room(self, key: Key, shape: Shape) -> Slot | None:
        """A slot on disk, or in memory at the cost of what later passes can have computed again."""
        cache = self._session.cache
        while (slot := cache.reserve(key, shape, keep=True)) is None and cache.evict(self._is_wanted):
            continue
        return slot

    def _is_wanted(self, key: Key) -> bool:
        """Whether this pass still needs what is stored; later passes can have it computed again."""
        return key.digest == self._states.digest and self._states.is_wanted(key.clip)

    def _is_hopeless(self) -> bool:
        """Whether nothing is under way that could make room."""
        session = self._session
        lanes_rest = all(lane.waiting == 0 for lane in session.lanes)
        workers_rest = len(session.pool.busy()) == 1 + len(self._wants)  # the one asked about and those in line
        return lanes_rest and workers_rest and len(self._states.groups) == 0 and session.cache.transient_bytes == 0
