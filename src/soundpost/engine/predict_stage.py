"""What lanes answer: ready clips gather into batches, lanes are kept busy, and their answers are taken in."""

from collections.abc import Mapping

from soundpost.engine.clip_states import ClipStates, PassPlan
from soundpost.engine.lanes import Done, Job, Lane
from soundpost.engine.session import Session
from soundpost.errors import DeviceError
from soundpost.inference.fold_group import Team
from soundpost.inference.out_of_memory import Toll
from soundpost.inference.predictor import Predictor
from soundpost.resources.deadline import Estimate

BATCH_SECONDS = {"cpu": 0.5, "cuda": 0.25}  # a batch that takes longer is made smaller
LEAST_BATCH_SECONDS = 0.02  # however little time is left
GPU_DEPTH = 3  # jobs that a GPU's lane may have waiting, so that it never starves
HIGH_WATER = 4  # budgets of each lane that wait before further cached clips join


class PredictStage:
    """Has the ready clips of one pass answered.

    Args:
        session: shared with the other passes.
        plan: of this pass.
        states: of its clips.
        predictors: one for each lane's device; groups of folds where there are several members.
    """

    def __init__(
        self, session: Session, plan: PassPlan, states: ClipStates, predictors: Mapping[str, Predictor | Team]
    ) -> None:
        self._session = session
        self._plan = plan
        self._states = states
        self._predictors = predictors
        self._speed = session.speed.setdefault(plan.recipe.name, Estimate())

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
        groups.budget_frames = self._budget_frames()
        for lane in sorted(session.lanes, key=lambda lane: lane.waiting):
            while lane.waiting < (GPU_DEPTH if session.on_gpu else 1) and session.free_cores(waiting_workers) > 0:
                units = groups.take(self._is_hungry(lane, waiting_workers))
                if not units:
                    break
                states = self._states
                sources = [session.cache.find(states.key(unit.clip)) for unit in units]
                lane.give(
                    Job(
                        self._predictors[lane.device],
                        self._plan.view,
                        tuple(units),
                        tuple(states.windows[unit.clip][unit.window] for unit in units),
                        tuple(source for source in sources if source is not None),
                    )
                )

    def take_answers(self) -> None:
        """Take in what the lanes have answered."""
        session = self._session
        for lane, done in session.results.take():
            session.log.worked(session.lanes.index(lane), done.seconds, len(done.job.units))
            self._answered(done)

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
        limit = min(BATCH_SECONDS[kind], max(LEAST_BATCH_SECONDS, self._session.deadline.left() / 4))
        return most if not seconds else max(1, min(most, int(limit / seconds)))

    def _answered(self, done: Done) -> None:
        states = self._states
        self._count(done.toll)
        for clip in done.damaged:
            states.damaged(clip)
        if done.answers is None and done.error:
            self._batch_failed(done)
        for place, reason in done.toll.lost.items():
            if (clip := done.job.units[place].clip) in states.open:
                states.lose(clip, reason)
        if done.answers is None:
            return
        self._speed.add(done.job.frames * done.job.members, done.seconds)
        self._session.report.seconds["forward (lanes)"] += done.seconds
        for unit, row in zip(done.job.units, done.answers, strict=True):
            if states.is_pending(unit):
                states.add(unit, row)

    def _batch_failed(self, done: Done) -> None:
        """A broken device ends the engine; anything else costs the clips of the batch this one pass."""
        if self._session.on_gpu and "CUDA" in done.error and "out of memory" not in done.error:
            raise DeviceError(f"{done.job.predictor.device}: {done.error}. The run goes on without it.")
        self._states.batch_failed(done.job.units, done.error)

    def _count(self, losses: Toll) -> None:
        """What want of memory cost is told, and no later batch is larger than what had room."""
        counts, frames = self._session.report.counts, self._session.batch_frames
        counts["batches split for memory"] += losses.splits
        counts["windows tiled for memory"] += losses.tiled
        counts["windows answered by the CPU for memory"] += losses.on_cpu
        if losses.splits:
            name = self._plan.recipe.name
            frames[name] = min(frames[name], max(1, losses.fitting_frames))
