"""What lanes answer: ready clips gather into batches, lanes are kept busy, and their answers are taken in."""

import time
from collections.abc import Mapping, Sequence
from multiprocessing.connection import wait

from soundpost.engine.batching import Unit
from soundpost.engine.clip_states import ClipStates, PassPlan
from soundpost.engine.devices_in_use import lost
from soundpost.engine.lanes import Done, Job, Lane
from soundpost.engine.session import Session
from soundpost.errors import DeviceError
from soundpost.inference.batch_model import BatchModel
from soundpost.inference.out_of_memory import MemoryLosses
from soundpost.resources.deadline import Estimate, hang_seconds

BATCH_SECONDS = {"cpu": 0.5, "cuda": 0.25}  # a batch that takes longer is made smaller
SHARED_BATCH_SECONDS = 8.0  # the same on a core, for the few windows of a clip that share work when they come together
LEAST_BATCH_SECONDS = 0.02  # however little time is left
GPU_DEPTH = 3  # jobs that a GPU's lane may have waiting, so that it never starves
WAIT_SECONDS = 0.1  # longest wait for what a pass at its end has left with the lanes
HIGH_WATER = 4  # budgets of each lane that wait before further cached clips join


class PredictStage:
    """Has the ready clips of one pass answered.

    Args:
        session: shared with the other passes.
        plan: what this pass is.
        states: where each of its clips stands.
        predictors: one for each lane's device; groups of folds where there are several members.
    """

    def __init__(
        self, session: Session, plan: PassPlan, states: ClipStates, predictors: Mapping[str, BatchModel]
    ) -> None:
        self._session = session
        self._plan = plan
        self._states = states
        self._predictors = predictors
        self._speed = session.speed.setdefault(plan.recipe.name, Estimate())
        states.groups.is_round = session.on_gpu
        states.groups.keeps_clips = all(predictor.can_share(plan.view) for predictor in predictors.values())

    def admit(self) -> None:
        """Clips whose spectrograms are cached join the groups, as many as the lanes can soon take."""
        states = self._states
        high_water = HIGH_WATER * len(self._session.lanes) * states.groups.budget_frames
        while states.cached and states.groups.waiting_frames < high_water:
            states.ready(states.cached.popleft(), known=True)

    def feed(self, waiting_workers: int) -> None:
        """Batches for the lanes that have too few.

        Args:
            waiting_workers: workers that wait for room, which answered clips give back.
        """
        session, groups = self._session, self._states.groups
        if session.on_gpu:
            groups.follow(self._budget_frames(), session.batch_frames[self._plan.recipe.name])
        else:
            groups.budget_frames = self._budget_frames()
        depth = GPU_DEPTH if session.on_gpu else 1
        while session.free_cores(waiting_workers) > 0:
            lane = min(session.lanes, key=lambda lane: lane.waiting)  # so that none stands idle beside a full one
            if lane.waiting >= depth:
                return
            units = groups.take(self._is_hungry(lane, waiting_workers))
            if not units:
                return
            self._states.sent(units)
            lane.give(self._job(lane, units))

    def _job(self, lane: Lane, units: Sequence[Unit]) -> Job:
        states = self._states
        sources = [self._session.cache.find(states.key(unit.clip)) for unit in units]
        return Job(
            states,
            self._predictors[lane.device],
            self._plan.view,
            tuple(units),
            tuple(states.windows[unit.clip][unit.window] for unit in units),
            tuple(source for source in sources if source is not None),
        )

    def take_answers(self) -> None:
        """Take in what the lanes have answered; late answers of an earlier pass are not used.

        Raises:
            DeviceError: the last device is broken.
        """
        for lane, done in self._session.results.take():
            self._session.log.worked(lane, done.seconds, len(done.job.units))
            done.job.owner.came_back(done.job.units)
            if done.job.owner is not self._states:
                self._session.report.counts["late batches of an earlier pass not used"] += 1
            elif done.is_broken and self._session.on_gpu:
                self._states.put_back(done.job.units)
                self._lose_device(lost(lane.device, done.error))
            else:
                self._answered(done)

    def watch(self) -> None:
        """A GPU that has given no answer for too long is taken to hang, and the others go on without it.

        Raises:
            DeviceError: it is the last device.
        """
        limit = hang_seconds(self._session.deadline.limit_seconds)
        for lane in list(self._session.lanes):
            if self._session.on_gpu and lane.silent_seconds > limit and not lane.is_abandoned:
                self._lose_device(lost(lane.device, f"it hangs, without an answer for {limit:.0f} s"))

    def drain(self) -> bool:
        """End the pass: have no job of it with any lane, unless a lane takes too long; whether none has.

        What still comes is not used. When time is up, nothing is waited for, as nothing will be computed any more.
        """
        session = self._session
        self._states.is_over = True
        patience = min(hang_seconds(session.deadline.limit_seconds), session.deadline.left())
        until = time.monotonic() + max(0.0, patience)
        while any(lane.waiting for lane in session.lanes):
            left = until - time.monotonic()
            if left <= 0 or session.should_stop():
                return False
            wait((session.results.wake,), min(left, WAIT_SECONDS))
            for _, done in session.results.take():
                done.job.owner.came_back(done.job.units)
        return True

    def seconds_left(self) -> float | None:
        """Expected duration of what is left of this pass, by the lanes' speed so far."""
        seconds = self._speed.seconds(self._states.frames_left * len(self._plan.works))
        return None if seconds is None else seconds / len(self._session.lanes)

    def _is_hungry(self, lane: Lane, waiting_workers: int) -> bool:
        """Whether any batch is better than waiting for a fuller one: on a GPU as soon as it would stand idle."""
        if self._session.on_gpu:
            return lane.waiting == 0
        groups = self._states.groups
        is_more_coming = bool(self._states.absent) or bool(self._session.pool.busy())
        return not is_more_coming or groups.waiting_frames >= groups.budget_frames or waiting_workers > 0

    def _budget_frames(self) -> int:
        """Most windows x frames in a batch: what memory allows, and what takes no longer than BATCH_SECONDS."""
        most = self._session.batch_frames[self._plan.recipe.name]
        kind = "cuda" if self._session.on_gpu else "cpu"
        seconds = self._speed.seconds(len(self._plan.works))
        usual = SHARED_BATCH_SECONDS if self._states.groups.keeps_clips else BATCH_SECONDS[kind]
        limit = min(usual, max(LEAST_BATCH_SECONDS, self._session.deadline.left() / 4))
        return most if not seconds else max(1, min(most, int(limit / seconds)))

    def _answered(self, done: Done) -> None:
        states = self._states
        self._count(done.losses)
        for clip in done.damaged:
            states.damaged(clip, [unit for unit in done.job.units if unit.clip == clip])
        if done.answers is None and done.error:
            states.batch_failed(done.job.units, done.error)
        for place, reason in done.losses.lost.items():
            if states.is_pending(done.units[place]):
                states.lose(done.units[place].clip, reason)
        if done.answers is None:
            return
        self._speed.add(done.frames, done.seconds)
        self._session.report.seconds["forward (lanes)"] += done.seconds
        for unit, row in zip(done.units, done.answers, strict=True):
            if states.is_pending(unit):
                states.add(unit, row)

    def _lose_device(self, error: DeviceError) -> None:
        """What the device had is answered by the others.

        Raises:
            DeviceError: there is no other.
        """
        for job in self._session.lose_device(error):
            job.owner.came_back(job.units)
            if job.owner is self._states:
                self._states.put_back(job.units)

    def _count(self, losses: MemoryLosses) -> None:
        """What lack of memory cost is told, and no later batch is larger than what had room."""
        counts, frames = self._session.report.counts, self._session.batch_frames
        counts["batches split for memory"] += losses.splits
        counts["windows tiled for memory"] += losses.tiled
        counts["windows answered by the CPU for memory"] += losses.on_cpu
        counts["windows computed again in float32"] += losses.in_float32
        counts["batches without page-locked memory"] += losses.unpinned
        if losses.most_frames:
            name = self._plan.recipe.name
            frames[name] = min(frames[name], losses.most_frames)
