"""A run that measures instead of answering: some passes over some clips of a folder, and what they foretell."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from soundpost.contest import submission
from soundpost.engine.heartbeat import Tell
from soundpost.engine.pass_run import PassRun
from soundpost.engine.provision import provisioned
from soundpost.engine.run import Run
from soundpost.engine.scheduler import FIRST_SHARE, next_pass
from soundpost.engine.session import Session
from soundpost.ensemble.passes import Pass
from soundpost.ensemble.recipes import Recipe
from soundpost.errors import SettingsError
from soundpost.exit_status import STATUS_NOTHING, STATUS_OK
from soundpost.forecast.first_pass import FirstPass, Measured
from soundpost.forecast.forecast import Capacity, FrontEndCost, Load, PassCost, foretell
from soundpost.forecast.hardware import CORE, known_device, named, slowdown
from soundpost.forecast.later_passes import Later, measure_later
from soundpost.forecast.lengths import lengths, mean_seconds, rows_of_a_file, spread
from soundpost.resources.deadline import EXIT_SECONDS
from soundpost.resources.memory import cores
from soundpost.resources.memory_budget import LIMIT_SHARE
from soundpost.settings import RunSettings

FOLD = 3  # the hidden set of Freesound 2019 was about three times the public one
LITTLE_SECONDS = 60.0  # less audio than this makes a rough forecast


class DryRun:
    """A run over some clips that ends in a forecast; its submission goes where main put it."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._look: Callable[[PassRun], None] = _leave
        self._run = Run(session, lambda pass_run: self._look(pass_run))
        self._later: Later = {}
        self._length = lengths(session.contest)

    def run(self) -> int:
        """Measure, foretell, say so; exit status 0, or 3 where the verdict is that it does not fit.

        Raises:
            SettingsError: no clip here could be predicted, or the named machine is not known.
        """
        session = self._session
        measured = self._measure()
        if not measured:
            raise SettingsError(
                f"a dry run measures clips, and of {session.contest.n_files:,} in {session.settings.test_dir} none was "
                "predicted. Give a folder with some clips of the kind to expect, and time for them."
            )
        first = [p for p in session.models.passes if p.view == 0 and self._is_seen(p)]
        self._later = measure_later(session, self._run, first)
        here = self._capacity()
        overhead = max(1.0, self._clock(measured) / self._explained_seconds(measured, here))
        load = self._load_expected(overhead)
        factor, capacity = self._elsewhere(here)
        front_ends, passes = self._costs(measured, load, factor)
        self._say(measured, load, factor)
        forecast = foretell(passes, front_ends, capacity, load)
        for line in forecast.lines(load.limit_seconds):
            session.progress.say(line)
        return STATUS_OK if forecast.fits else STATUS_NOTHING

    # ------------------------------------------------------------ measuring

    def _measure(self) -> dict[str, Measured]:
        """What the first pass of each recipe took, by the recipe's name."""
        session = self._session
        measured: dict[str, Measured] = {}
        for recipe in session.models.recipes:
            work = next((p for p in session.models.passes if self._is_first(p, recipe)), None)
            if work is None:
                continue
            watched = FirstPass(session, work, self._length, self._capacity())
            self._look = watched.look
            complete = self._run.run_pass([work], [work])
            self._look = _leave
            if found := watched.measured():
                measured[recipe.name] = found
            if not complete:
                break
        return measured

    def _is_seen(self, work: Pass) -> bool:
        return bool(self._session.predictions.seen(work.member, work.view).any())

    def _clock(self, measured: Mapping[str, Measured]) -> float:
        """Seconds of the clock that all measured passes took, the later ones for each member."""
        return sum(m.clock for m in measured.values()) + sum(later.clock for later in self._later.values())

    def _explained_seconds(self, measured: Mapping[str, Measured], here: Capacity) -> float:
        """Seconds that the same would have taken if nothing ever waited."""
        later = sum(one.forward for one in self._later.values()) / (here.lanes if here.on_gpu else here.cores)
        return sum(m.explained for m in measured.values()) + later

    def _is_first(self, work: Pass, recipe: Recipe) -> bool:
        models = self._session.models
        member_of = models.members[work.member][0]
        return work.view == 0 and member_of is recipe and self._session.predictors(work.member) is not None

    def _write_seconds(self) -> float:
        """What one write of a submission takes for each row."""
        contest = self._session.contest
        began = time.monotonic()
        submission.write(
            Path(self._session.settings.out), contest.sample, (contest.priors for _ in contest.sample.names)
        )
        return (time.monotonic() - began) / max(1, len(contest.sample.names))

    # ------------------------------------------------------------ foretelling

    def _capacity(self) -> Capacity:
        """What this machine has, as the run found it."""
        session = self._session
        return Capacity(
            cores=min(cores(), len(session.pool.workers)) if session.on_gpu else cores(),
            lanes=len(session.lanes),
            on_gpu=session.on_gpu,
            resident_bytes=max(0, session.memory.peak_bytes - session.cache.memory_bytes),
            cache_bytes=session.cache.memory_limit_bytes - session.cache.staging_bytes,
            disk_bytes=session.cache.disk_limit_bytes,
        )

    def _elsewhere(self, here: Capacity) -> tuple[float, Capacity]:
        """How many times longer forward passes take on the machine that is meant, and what it has."""
        if not self._session.settings.as_machine:
            return 1.0, here
        target = named(self._session.settings.as_machine)
        capacity = replace(
            here,
            cores=target.cores,
            lanes=target.lanes,
            on_gpu=target.device != CORE,
            cache_bytes=max(0, int(LIMIT_SHARE * target.memory_bytes) - here.resident_bytes),
            disk_bytes=target.disk_bytes,
        )
        return slowdown(self._known_device(), target.device), capacity

    def _load_expected(self, overhead: float) -> Load:
        settings = self._session.settings
        contest = self._session.contest
        clips = settings.expect_clips or FOLD * contest.n_files
        each = settings.expect_seconds or mean_seconds(contest)
        write_seconds = clips * rows_of_a_file(contest) * self._write_seconds()
        return Load(
            clips=clips,
            audio_seconds=clips * each,
            limit_seconds=settings.time_limit_seconds,
            start_seconds=self._session.report.seconds["start"],
            end_seconds=EXIT_SECONDS + write_seconds,
            overhead=overhead,
            unit=self._session.report.units.files,
            reserve_seconds=self._session.deadline.reserve_seconds + 2 * write_seconds,
        )

    def _costs(
        self, measured: dict[str, Measured], load: Load, factor: float
    ) -> tuple[dict[str, FrontEndCost], list[PassCost]]:
        """Costs by digest, and of the passes in the order of the plan; a recipe not measured is left out."""
        models = self._session.models
        item_bytes = np.dtype(self._session.settings.cache_dtype).itemsize
        front_ends: dict[str, FrontEndCost] = {}
        for recipe in models.recipes:
            m = measured.get(recipe.name)
            if m and recipe.digest() not in front_ends:
                n_bytes = float(np.prod(models.sizes.shape(recipe, m.mean_decoded))) * item_bytes * m.clips
                front_ends[recipe.digest()] = FrontEndCost(m.decode, m.features, n_bytes / m.audio_seconds)
        each = load.audio_seconds / load.clips
        passes = []
        alone: set[tuple[str, int]] = set()  # recipes and views whose first member has gone, which shares no batches
        for work in self._order(load):
            recipe = models.members[work.member][0]
            if m := measured.get(recipe.name):
                frames = models.sizes.shape(recipe, each)[2]
                shown = [sum(w.frames for w in models.sizes.view(recipe, v).windows(frames)) for v in (0, work.view)]
                forward = m.forward * shown[1] / max(1, shown[0])
                key = recipe.name, work.view
                if work.view or key in alone:
                    later = self._later.get((*key, key in alone)) or self._later.get((*key, key not in alone))
                    forward = later.forward / m.audio_seconds if later else forward
                once = m.once_seconds if work.view == 0 and key not in alone else 0.0
                alone.add(key)
                passes.append(PassCost(work.name(models.members), recipe.digest(), factor * forward, once))
        return front_ends, passes

    def _order(self, load: Load) -> list[Pass]:
        """The passes as the expected run takes them up: a quicker one comes first where its time would be short."""
        scheduler = self._run.scheduler
        times = load.clips / max(1, len(self._session.clips))
        left = FIRST_SHARE * max(0.0, load.limit_seconds - load.reserve_seconds - load.start_seconds)
        passes, order = self._session.models.open_passes(), list[Pass]()
        while (
            work := next_pass(passes, order, lambda each: times * scheduler.expected_seconds(each), left)
        ) is not None:
            order.append(work)
        return order

    def _known_device(self) -> str:
        """This device's name in the table of peaks."""
        if not self._session.on_gpu:
            return CORE
        import torch

        description = torch.cuda.get_device_name(self._session.lanes[0].device)
        if not (name := known_device(description)):
            raise SettingsError(
                f"--as {self._session.settings.as_machine}: this device, {description}, stands in no table. Measure "
                "with --device cpu, or on a device that does."
            )
        return name

    def _say(self, measured: dict[str, Measured], load: Load, factor: float) -> None:
        session = self._session
        audio = max(m.audio_seconds for m in measured.values())
        paths = [clip.path for clip in session.clips if clip.path is not None]
        count = len(paths if session.contest.windows is None else set(paths))
        each = load.audio_seconds / load.clips
        rough = "; so little audio makes a rough forecast" if audio < LITTLE_SECONDS else ""
        session.progress.say(
            f"dry run over {count:,} of {session.contest.n_files:,} {load.unit}, {audio:,.0f} s of audio{rough}"
        )
        session.progress.say(
            f"expected: {load.clips:,} {load.unit} of {each:.1f} s on the average; overhead {load.overhead:.2f} times"
        )
        if session.settings.as_machine:
            session.progress.say(
                f"ESTIMATE for {session.settings.as_machine}: forward passes take {factor:.3g} times as long on one of "
                "its devices, by published peaks; its cores are taken to be as fast as these"
            )


def _leave(pass_run: PassRun) -> None:
    """A pass that nobody measures is left alone."""


def run(settings: RunSettings, should_stop: Callable[[], bool] = lambda: False, tell: Tell = lambda _: None) -> int:
    """Measure once in this process and say what is to be expected.

    Returns:
        The exit status: 0, or 3 where the first pass alone does not fit.

    Raises:
        KitError: there is nothing that could be measured.
    """
    if settings.as_machine:
        named(settings.as_machine)  # a name that is not known is refused before anything is measured
    with provisioned(settings, should_stop, tell, choose=spread) as session:
        return DryRun(session).run()
