"""One pass over all clips: workers fill the cache, windows gather into batches, lanes answer, clips get done.

One thread owns everything here. It gives work out and takes news in, and never does anything that takes long, so it
sees the deadline, a signal or a dead worker within a fraction of a second.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from soundpost.contest.clips import Clip
from soundpost.engine.batching import Groups, Unit
from soundpost.engine.lanes import Done, Job, Lane, Results
from soundpost.engine.predictions import Answers
from soundpost.engine.report import Report
from soundpost.ensemble.passes import Pass
from soundpost.ensemble.recipes import Recipe
from soundpost.errors import DeviceError
from soundpost.inference.fold_group import Team
from soundpost.inference.out_of_memory import Toll
from soundpost.inference.predictor import Predictor
from soundpost.resources.deadline import Deadline, Estimate
from soundpost.spectrograms.cache import Key, SpectrogramCache
from soundpost.spectrograms.cache.slots import Shape, Slot
from soundpost.spectrograms.worker_pool import Died, Failed, Refused, Stored, Task, Wanted, Worker, WorkerPool
from soundpost.views.view import View, Window

TICK_SECONDS = 0.1  # longest wait for news
BATCH_SECONDS = {"cpu": 0.5, "cuda": 0.25}  # a batch that takes longer is made smaller
GPU_DEPTH = 3  # jobs that a GPU's lane may have waiting, so that it never starves
ATTEMPTS = 2  # of a clip in one pass, when its worker dies or its spectrogram is damaged
STALL_SECONDS = 60.0  # a worker that is longer at one clip is taken for stuck
MAX_UNITS = 512  # windows in one batch


@dataclass
class Machine:
    """What all passes of a run share."""

    clips: Sequence[Clip]
    cache: SpectrogramCache
    pool: WorkerPool
    lanes: list[Lane]
    results: Results
    cores: int
    deadline: Deadline
    answers: Answers
    report: Report
    batch_frames: dict[str, int]  # recipe -> most windows x frames in a batch, for the memory's sake
    max_seconds: float  # of one clip's audio, for the memory's sake
    should_stop: Callable[[], bool]  # a signal has come
    speed: dict[str, Estimate] = field(default_factory=dict)  # recipe -> seconds per window x frame of one lane
    dead: set[int] = field(default_factory=set)  # clips that cannot be read

    @property
    def on_gpu(self) -> bool:
        """Whether lanes leave the cores to the workers."""
        return self.lanes[0].device != "cpu"


class PassRun:
    """One pass of the plan, or several that share their batches, from the first clip that lacks an answer to the last.

    Args:
        machine: shared with the other passes.
        works: which members, and the view that is the same for all of them.
        recipe: of the members.
        view: of the recipe, built.
        predictors: one for each lane's device; teams where there are several members.
        keep: whether a later pass needs the same spectrograms.
    """

    def __init__(
        self,
        machine: Machine,
        works: Sequence[Pass],
        recipe: Recipe,
        view: View,
        predictors: Mapping[str, Predictor | Team],
        keep: bool,
    ) -> None:
        self._machine = machine
        self._works = works
        self._recipe = recipe
        self._view = view
        self._predictors = predictors
        self._keep = keep
        self._digest = recipe.digest()
        self._speed = machine.speed.setdefault(recipe.name, Estimate())
        self._seen = [machine.answers.seen(work.member, work.view) for work in works]
        seen = np.all(self._seen, axis=0)
        todo = [i for i, clip in enumerate(machine.clips) if clip.path and not seen[i] and i not in machine.dead]
        cached = [i for i in todo if self._key(i) in machine.cache]
        self._cached = deque(sorted(cached, key=lambda i: machine.cache.shape(self._key(i))[2]))
        known = set(cached)
        self._absent = deque(sorted((i for i in todo if i not in known), key=lambda i: machine.clips[i].n_bytes))
        self._open = set(todo)
        self._attempts: Counter[int] = Counter()
        self._windows: dict[int, tuple[Window, ...]] = {}
        self._sums: dict[int, np.ndarray] = {}
        self._pending: dict[int, set[int]] = {}  # windows of ready clips that lack their answer
        self._wants: deque[tuple[Worker, Shape]] = deque()
        self._groups = Groups(machine.batch_frames[recipe.name], MAX_UNITS)
        lengths = Counter(window.frames for clip in cached for window in self._windows_of(clip))
        self._groups.expect(lengths, unknown_clips=len(self._absent))
        self._frames_seen = self._bytes_seen = 0
        self.total = len(todo)
        self.count = len(works)  # passes that share the batches
        self.failed = 0  # clips that a team could not answer, because one of its members raised

    @property
    def done(self) -> int:
        """Clips that need nothing more in this pass."""
        return self.total - len(self._open)

    def run(self, tick: Callable[["PassRun"], None]) -> bool:
        """Work until every clip is done (True), or until the deadline or a signal (False).

        Args:
            tick: called between any two pieces of news, at least every TICK_SECONDS.
        """
        machine = self._machine
        while self._open:
            if machine.should_stop() or machine.deadline.left() <= 0:
                return False
            self._admit()
            self._feed_lanes()
            self._feed_workers()
            wait = min(TICK_SECONDS, max(0.0, machine.deadline.left()))
            for worker, message in machine.pool.messages(wait, (machine.results.wake,)):
                self._heard(worker, message)
            for _, done in machine.results.take():
                self._answered(done)
            self._watch_workers()
            tick(self)
        return True

    def seconds_left(self) -> float | None:
        """Expected duration of what is left of this pass, by the lanes' speed so far."""
        n_bytes = sum(self._machine.clips[clip].n_bytes for clip in self._open)
        frames = n_bytes * self._frames_seen / max(1, self._bytes_seen)
        seconds = self._speed.seconds(frames * len(self._works))
        return None if seconds is None else seconds / len(self._machine.lanes)

    # ------------------------------------------------------------ giving work out

    def _admit(self) -> None:
        """Clips whose spectrograms are cached join the groups, as many as the lanes can soon take."""
        high_water = 4 * len(self._machine.lanes) * self._groups.budget_frames
        while self._cached and self._groups.waiting_frames < high_water:
            self._ready(self._cached.popleft(), known=True)

    def _ready(self, clip: int, known: bool) -> None:
        windows = self._windows_of(clip)
        self._windows[clip] = windows
        self._pending[clip] = set(range(len(windows)))
        self._frames_seen += sum(window.frames for window in windows)
        self._bytes_seen += self._machine.clips[clip].n_bytes
        self._groups.add([Unit(clip, i, window.frames) for i, window in enumerate(windows)], known)

    def _feed_lanes(self) -> None:
        machine = self._machine
        self._groups.budget_frames = self._budget_frames()
        for lane in sorted(machine.lanes, key=lambda lane: lane.waiting):
            while lane.waiting < (GPU_DEPTH if machine.on_gpu else 1) and self._free_tokens() > 0:
                units = self._groups.take(self._is_hungry(lane))
                if not units:
                    break
                sources = [machine.cache.find(self._key(unit.clip)) for unit in units]
                lane.give(
                    Job(
                        self._predictors[lane.device],
                        self._view,
                        tuple(units),
                        tuple(self._windows[unit.clip][unit.window] for unit in units),
                        tuple(source for source in sources if source is not None),
                    )
                )

    def _is_hungry(self, lane: Lane) -> bool:
        """Whether any batch is better than waiting for a fuller one: on a GPU as soon as it would stand idle."""
        if self._machine.on_gpu:
            return lane.waiting == 0
        computing = bool(self._absent) or bool(self._machine.pool.busy())
        return not computing or self._groups.waiting_frames >= self._groups.budget_frames or bool(self._wants)

    def _feed_workers(self) -> None:
        machine = self._machine
        self._grant()
        if not machine.pool.workers:
            while self._absent:
                clip = self._absent.popleft()
                self._give_up(clip, f"{machine.clips[clip].name}: no worker is left to read it")
        high_water = 8 * len(machine.lanes) * self._groups.budget_frames
        for worker in machine.pool.idle():
            if not self._absent or self._free_tokens() <= 0:
                return
            if self._groups.waiting_frames >= high_water and not self._keep:
                return
            clip = self._absent.popleft()
            path = machine.clips[clip].path
            assert path is not None
            worker.give(
                Task(
                    clip,
                    str(path),
                    self._digest,
                    dict(self._recipe.audio),
                    self._recipe.front_end.name,
                    dict(self._recipe.front_end.settings),
                    machine.max_seconds,
                )
            )

    def _free_tokens(self) -> int:
        """Cores that nobody uses: lanes without a GPU and workers share them and never outnumber them."""
        machine = self._machine
        if machine.on_gpu:
            return 1
        at_work = len(machine.pool.busy()) - len(self._wants)  # who waits for room uses no core
        return machine.cores - sum(lane.waiting > 0 for lane in machine.lanes) - at_work

    def _budget_frames(self) -> int:
        """Most windows x frames in a batch: what memory allows, and what takes no longer than BATCH_SECONDS."""
        most = self._machine.batch_frames[self._recipe.name]
        kind = "cuda" if self._machine.on_gpu else "cpu"
        seconds = self._speed.seconds(len(self._works))
        limit = min(BATCH_SECONDS[kind], max(0.02, self._machine.deadline.left() / 4))
        return most if not seconds else max(1, min(most, int(limit / seconds)))

    # ------------------------------------------------------------ taking news in

    def _heard(self, worker: Worker, message: object) -> None:
        machine, report = self._machine, self._machine.report
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
                shape = machine.cache.shape(key)
                machine.cache.abandon(key, disk_is_full=True)
                self._wants.append((worker, shape))
                self._grant()
            case Stored():
                report.seconds["features (CPU)"] += message.features_cpu_seconds
                report.spectrograms[worker.task.digest, worker.task.front_end] += 1
                machine.cache.commit(key, message.checksum)
                worker.task = None
                self._ready(clip, known=False)
            case Failed():
                machine.cache.abandon(key)
                worker.task = None
                self._give_up(clip, message.reason)
            case Died():
                report.counts["workers died"] += 1
                machine.cache.abandon(key)
                self._wants = deque(want for want in self._wants if want[0] is not worker)
                self._try_again(clip, message.reason)

    def _grant(self) -> None:
        """Give out slots for which there is room; the others wait until something is released."""
        machine = self._machine
        for _ in range(len(self._wants)):
            worker, shape = self._wants.popleft()
            assert worker.task is not None
            key = Key(worker.task.digest, worker.task.clip)
            slot = machine.cache.reserve(key, shape, self._keep)
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
                self._give_up(clip, f"{machine.clips[clip].name}: its spectrogram of {size:,} bytes fits no tier")
            else:
                self._wants.append((worker, shape))

    def _find_room(self, key: Key, shape: Shape) -> Slot | None:
        """A slot on disk, or in memory at the cost of what later passes can have computed again."""
        cache = self._machine.cache
        while (slot := cache.reserve(key, shape, keep=True)) is None and cache.evict(self._is_wanted):
            continue
        return slot

    def _is_wanted(self, key: Key) -> bool:
        """Whether this pass still needs what is stored; later passes can have it computed again."""
        return key.digest == self._digest and key.clip in self._open

    def _is_hopeless(self) -> bool:
        """Whether nothing is under way that could make room."""
        lanes_rest = all(lane.waiting == 0 for lane in self._machine.lanes)
        workers_rest = len(self._machine.pool.busy()) == 1 + len(self._wants)  # the one asked about and those in line
        return lanes_rest and workers_rest and len(self._groups) == 0 and self._machine.cache.transient_bytes == 0

    def _answered(self, done: Done) -> None:
        machine = self._machine
        self._count(done.toll)
        for clip in done.damaged:
            if clip not in self._pending:
                continue  # another lane has found it, too
            machine.cache.damaged(self._key(clip))
            machine.report.counts["damaged spectrograms recomputed"] += 1
            self._forget_windows(clip)
            self._groups.reopen()
            self._try_again(clip, f"its spectrogram was damaged {ATTEMPTS} times")
        if done.answers is None and done.error:
            self._batch_failed(done)
        for place, reason in done.toll.lost.items():
            if (clip := done.job.units[place].clip) in self._open:
                self._lose(clip, reason)
        if done.answers is None:
            return
        self._speed.add(done.job.frames * done.job.members, done.seconds)
        machine.report.seconds["forward (lanes)"] += done.seconds
        for unit, row in zip(done.job.units, done.answers, strict=True):
            if unit.window in self._pending.get(unit.clip, ()):
                self._add(unit, row)

    def _count(self, toll: Toll) -> None:
        """What want of memory cost is told, and no later batch is larger than what had room."""
        counts, frames = self._machine.report.counts, self._machine.batch_frames
        counts["batches split for memory"] += toll.splits
        counts["windows tiled for memory"] += toll.tiled
        counts["windows answered by the CPU for memory"] += toll.on_cpu
        if toll.splits:
            most = max(1, toll.fitting_frames)
            frames[self._recipe.name] = min(frames[self._recipe.name], most)

    def _add(self, unit: Unit, row: np.ndarray) -> None:
        clip, windows = unit.clip, self._windows[unit.clip]
        answer = row
        if len(windows) > 1:
            share = windows[unit.window].weight / sum(window.weight for window in windows)
            answer = self._sums[clip] = self._sums.get(clip, 0.0) + row * np.float32(share)
        self._pending[clip].discard(unit.window)
        if self._pending[clip]:
            return
        for work, seen, part in zip(self._works, self._seen, answer.reshape(len(self._works), -1), strict=True):
            if not np.isfinite(part).all():
                self._machine.report.counts[f"answers of {self._name(work)} not finite"] += 1
            elif not seen[clip]:
                self._machine.answers.add(work.member, work.view, clip, part)
        self._close(clip)

    def _batch_failed(self, done: Done) -> None:
        """A batch that raised: a broken device ends the engine; anything else costs its clips this one pass.

        Of a team it costs nothing yet: its members answer those clips once more, one after the other.
        """
        if self._machine.on_gpu and "CUDA" in done.error and "out of memory" not in done.error:
            raise DeviceError(f"{done.job.predictor.device}: {done.error}. The run goes on without it.")
        if len(self._works) > 1:
            self.failed += len(done.job.units)
        else:
            name = self._name(self._works[0])
            self._machine.report.counts[f"clips failed in {name} ({done.error})"] += len(done.job.units)
        for clip in {unit.clip for unit in done.job.units}:
            self._close(clip)

    def _lose(self, clip: int, reason: str) -> None:
        """A window that fits no device costs its clip this pass, or a team's clip the company of its other folds."""
        if len(self._works) > 1:
            self.failed += 1
        else:
            clip_name, name = self._machine.clips[clip].name, self._name(self._works[0])
            self._machine.report.counts[f"clips that fit no device in {name}"] += 1
            self._machine.report.too_large[clip_name] = f"{clip_name}: {name}: {reason}"
        self._close(clip)

    # ------------------------------------------------------------ one clip's fate

    def _try_again(self, clip: int, reason: str) -> None:
        self._attempts[clip] += 1
        if self._attempts[clip] >= ATTEMPTS:
            self._give_up(clip, f"{self._machine.clips[clip].name}: {reason}")
        else:
            self._absent.appendleft(clip)

    def _give_up(self, clip: int, reason: str) -> None:
        """The clip, which was to be computed, cannot be: not in this pass, nor in any other."""
        self._groups.cancel()
        machine = self._machine
        machine.dead.add(clip)
        told = machine.report.unfinished if machine.answers.answered()[clip] else machine.report.unreadable
        told[machine.clips[clip].name] = reason
        self._close(clip)

    def _close(self, clip: int) -> None:
        """Nothing more is needed of this clip in this pass."""
        self._open.discard(clip)
        self._machine.cache.release(self._key(clip))
        self._forget_windows(clip)

    def _forget_windows(self, clip: int) -> None:
        """The clip is not ready any more: what waits of it is dropped, and what comes of it is not used."""
        if self._pending.get(clip):
            self._groups.remove(clip)
        self._windows.pop(clip, None)
        self._sums.pop(clip, None)
        self._pending.pop(clip, None)

    def _watch_workers(self) -> None:
        now = time.monotonic()
        for worker in self._machine.pool.busy():
            waits = any(want[0] is worker for want in self._wants)
            if not waits and now - worker.since > STALL_SECONDS:
                assert worker.task is not None
                clip, digest = worker.task.clip, worker.task.digest
                self._machine.report.counts["workers stuck"] += 1
                self._machine.pool.replace(worker)
                self._machine.cache.abandon(Key(digest, clip))
                self._give_up(clip, f"{self._machine.clips[clip].name}: not read within {STALL_SECONDS:.0f} s")

    # ------------------------------------------------------------ small things

    def _name(self, work: Pass) -> str:
        return self._machine.answers.name(work.member)

    def _key(self, clip: int) -> Key:
        return Key(self._digest, clip)

    def _windows_of(self, clip: int) -> tuple[Window, ...]:
        return self._view.windows(self._machine.cache.shape(self._key(clip))[2])
