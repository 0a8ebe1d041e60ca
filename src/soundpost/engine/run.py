"""The whole run on one page: load, share out the memory, run the passes, blend, write, report."""

import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from soundpost.contest import submission
from soundpost.contest.clips import find_clips
from soundpost.engine.lanes import Lane, Results
from soundpost.engine.live_submission import Draft, Tell
from soundpost.engine.pass_run import BATCH_SECONDS, Machine, PassRun
from soundpost.engine.predictions import Answers
from soundpost.engine.progress import Progress
from soundpost.engine.report import Report
from soundpost.ensemble.columns import column_priors, contest_labels, map_all
from soundpost.ensemble.passes import Pass, company, next_pass
from soundpost.ensemble.recipes import Recipe
from soundpost.ensemble.weights_folder import find_assets
from soundpost.errors import DeviceError, WeightsError
from soundpost.inference.devices import choose_devices
from soundpost.inference.fold_group import Team
from soundpost.inference.model_pool import TYPICAL_SECONDS, Roster
from soundpost.inference.predictor import Predictor
from soundpost.inference.profiling import GPU_SHARE, fit_worst_batch, probe
from soundpost.inference.stacking import ready_blend
from soundpost.resources import memory_budget
from soundpost.resources.deadline import Deadline, Estimate
from soundpost.resources.memory import GIB, MIB, cores, disk_free, is_in_memory, lonely_memory, memory_allowed
from soundpost.resources.memory_monitor import Gauge, return_free_memory
from soundpost.settings import RunSettings
from soundpost.spectrograms.cache import SpectrogramCache
from soundpost.spectrograms.worker_pool import WorkerPool

PROBE_SECONDS = 10.0  # of audio in the batch that tries a network out
LANE_BYTES = 32 * MIB  # of a batch on a core: batches that stay near its cache run up to twice as fast as large ones
GPU_FRAMES = 400_000  # most windows x frames of a batch on a GPU, however much memory there is
BYTES_PER_SAMPLE = 20  # of a worker, for each sample of a clip: the waveform, its copy, and the spectrogram
TRIM = 0.6  # of the memory limit: above it the allocator is asked for pages that it holds unused, at every look
SQUEEZE = 0.93  # of the memory limit: above it nothing new is kept and batches are halved
FIRST_SHARE = 0.7  # of the time that is left: what the first pass may be expected to take and still reach every clip
TEAM_TIME = 0.8  # of the time that is left: folds that would not end in it do not share batches
TEAM_BYTES = 32 * MIB  # of weights, on a CPU: folds that share batches are loaded together
TEAM_WINDOWS = 4  # of a typical clip, at least, that a batch through a whole team has time for


class Run:
    """One run of the engine; run() is its story.

    Args:
        settings: what is asked for.
        should_stop: whether a signal asks for the end.
        tell: takes events for the supervisor.
    """

    def __init__(self, settings: RunSettings, should_stop: Callable[[], bool], tell: Tell) -> None:
        self.settings = settings
        self.should_stop = should_stop
        self.tell = tell
        started = settings.started or time.monotonic()
        self.deadline = Deadline(settings.time_limit_seconds, started)
        self.deadline.wrote(settings.write_seconds)
        self.progress = Progress(settings.progress, settings.time_limit_seconds, self.deadline.elapsed)
        self.assets = find_assets(Path(settings.assets), input_root=Path(settings.input_root))
        self.roster = Roster(self.assets, settings.members, settings.views, settings.precision, self._skipped)
        self.recipes, self.members, self.passes = self.roster.recipes, self.roster.members, self.roster.passes
        self.report = Report(passes_planned=len(self.passes))
        self.pass_seconds: dict[tuple[str, int], float] = {}  # (recipe, view) -> of the clock, of its latest pass

    def run(self) -> int:
        """Every stage in order; the exit status of the engine."""
        self._start_workers()
        self._read_contest()
        self._say_what()
        self.devices = self.roster.devices = choose_devices(self.settings.device)
        self._share_memory()
        done: list[Pass] = []
        while (work := self._next(done)) is not None:
            works = self._company(work, done)
            done += works
            if not self._run_pass(works, done):
                break
        return self._finish()

    # ------------------------------------------------------------ before the first pass

    def _read_contest(self) -> None:
        """Rows, columns and clips; after the workers have been forked, as these need none of it in their memory."""
        settings = self.settings
        self.sample = submission.read_sample(Path(settings.sample_submission), contest_labels(self.recipes))
        self.maps = map_all(self.recipes, self.sample.columns)
        self.priors = column_priors(self.recipes, self.maps, len(self.sample.columns))
        found = find_clips(self.sample.names, Path(settings.test_dir))
        self.clips = found.clips
        self.report.n_clips = len(self.clips)
        self.report.missing = {c.name: c.name for c in self.clips if c.path is None}
        self.report.counts["audio files in no row"] += max(0, found.n_strays)

    def _say_what(self) -> None:
        unknown = sorted(set(range(len(self.sample.columns))) - {c for m in self.maps.values() for c in m.columns})
        self.progress.say(
            f"{len(self.clips):,} rows, {len(self.report.missing):,} of them without a file; "
            f"{len(self.members)} members, {len(self.passes)} passes"
        )
        if unknown:
            names = ", ".join(self.sample.columns[i] for i in unknown[:8]) + (", ..." if len(unknown) > 8 else "")
            self.progress.say(f"{len(unknown)} columns no member knows get a constant: {names}")

    def _start_workers(self) -> None:
        """The cache and the workers come first: forking must precede threads and CUDA, and decoding can begin soon."""
        settings = self.settings
        allowed = memory_allowed()
        self.memory_limit = min(settings.memory_limit_bytes or int(0.92 * allowed), allowed)
        self.start_method = "fork" if settings.start_method == "auto" else settings.start_method
        scratch = Path(settings.scratch)
        disk = settings.disk_limit_bytes or disk_free(scratch) // 2
        if is_in_memory(scratch):
            self.report.counts["scratch is memory, nothing is spilled"] += 1
            disk = 0
        self.gauge = Gauge(self.memory_limit, self._pids)
        self.cache = SpectrogramCache(
            int(0.8 * self.memory_limit), disk, scratch, settings.cache_dtype, pressure=self.gauge.pressure
        )
        self.pool = WorkerPool(settings.workers or min(16, cores()), self.cache.pages, self.start_method)

    def _pids(self) -> list[int]:
        return [*self.pool.pids, *([self.settings.supervisor_pid] if self.settings.supervisor_pid else [])]

    def _set_up(self) -> None:
        """What the passes share, the blend, and the writer."""
        names = [member.name for _, member in self.members]
        passes = [(p.member, p.view) for p in self.passes]
        self.machine = Machine(
            clips=self.clips,
            cache=self.cache,
            pool=self.pool,
            lanes=[],
            results=Results(),
            cores=cores(),
            deadline=self.deadline,
            answers=Answers(self.members, len(self.clips), passes, Path(self.settings.scratch)),
            report=self.report,
            batch_frames={},
            max_seconds=PROBE_SECONDS,
            should_stop=self.should_stop,
        )
        blend, skipped = ready_blend(
            self.assets.submission, names, self.sample.columns, lambda _, m: self.assets.arrays(m)
        )
        for name, reason in skipped.items():
            self._skipped(name, reason)
        out, answers = Path(self.settings.out), self.machine.answers
        self.draft = Draft(out, self.sample, answers, blend, self.maps, self.priors, self.deadline, self.tell)

    def _try_out(self) -> list[tuple[Recipe, float]]:
        """Each recipe with the bytes that a window x frame costs, by its first member that works.

        Raises:
            WeightsError: no member works.
            DeviceError: the GPU does not.
        """
        costs = []
        for recipe in self.recipes:
            for number in (i for i, (r, _) in enumerate(self.members) if r is recipe and self.roster.predictors(i)):
                try:
                    costs.append((recipe, self._cost(recipe, number)))
                    break
                except Exception as error:  # whatever a network raises costs that member, and is named
                    if self.devices[0] != "cpu" and "CUDA" in str(error):
                        raise DeviceError(f"{self.devices[0]}: {error}. The run goes on without it.") from error
                    self.roster.skip(number, f"{type(error).__name__}: {error}")
        if not costs:
            reasons = (*self.report.members_skipped.values(), self.assets.missing_advice())
            raise WeightsError("no member can be used. " + " ".join(reasons).strip())
        return costs

    def _share_memory(self) -> None:
        """Try the networks out, then give every part its bytes and start the lanes."""
        self._set_up()
        costs = self._try_out()
        return_free_memory()
        self.gauge.look(force=True)
        on_gpu = self.devices[0] != "cpu"
        shares = memory_budget.share(
            self.memory_limit,
            lonely_memory([os.getpid(), *self._pids()]),
            len(self.pool.workers),
            self.start_method,
            len(self.devices),
            LANE_BYTES,
            0 if on_gpu else max(int(cost * self.roster.longest_window(recipe)) for recipe, cost in costs),
        )
        self.expected_bytes = self.gauge.used_bytes + shares.lanes * shares.lane_bytes
        self.pool.shrink(shares.workers)
        cache_bytes = min(self.settings.cache_memory_bytes or shares.cache_bytes, shares.cache_bytes)
        self.cache.lower_limit(cache_bytes, min(cache_bytes // 4, 256 * MIB))
        if not on_gpu:
            self.devices = self.devices[: shares.lanes]
            self.machine.batch_frames = {recipe.name: max(1, int(shares.lane_bytes / cost)) for recipe, cost in costs}
        self.machine.max_seconds = shares.worker_bytes / (BYTES_PER_SAMPLE * 48_000)
        self.machine.lanes = [Lane(device, self.cache.pages, self.machine.results) for device in self.devices]
        self.progress.say(
            f"{', '.join(f'{n} x {d}' for d, n in Counter(self.devices).items())}; {shares.workers} workers; of "
            f"{self.memory_limit / GIB:.2f} GiB: {self.gauge.used_bytes / GIB:.2f} resident, "
            f"{shares.lanes * shares.lane_bytes / GIB:.2f} for batches, {cache_bytes / GIB:.2f} for spectrograms "
            f"({self.cache.backing}), then {self.cache.disk_limit_bytes / GIB:.1f} GiB on disk"
        )
        self.deadline.ready()
        self.report.seconds["start"] = self.deadline.elapsed()

    def _cost(self, recipe: Recipe, number: int) -> float:
        """Bytes for each window x frame of a recipe; its speed, and on a GPU its largest batch, go into the machine."""
        predictors = self.roster.predictors(number)
        assert predictors is not None
        shape = self.roster.shape(recipe, PROBE_SECONDS)
        view = self.roster.view(recipe, 0)
        probed = probe(next(iter(predictors.values())), view, shape)
        speed = self.machine.speed.setdefault(recipe.name, Estimate())
        speed.add(shape[2], shape[2] * probed.seconds_per_frame)
        if self.devices[0] != "cpu":
            import torch

            free = min(torch.cuda.mem_get_info(device)[0] for device in self.devices)
            frames = min(GPU_FRAMES, int(GPU_SHARE * free / probed.bytes_per_frame))
            longest = self.roster.shape(recipe, 30.0)
            self.machine.batch_frames[recipe.name] = min(
                fit_worst_batch(predictor, view, longest, max(1, frames)) for predictor in predictors.values()
            )
        return probed.bytes_per_frame

    # ------------------------------------------------------------ passes

    def _next(self, done: list[Pass]) -> Pass | None:
        left = FIRST_SHARE * max(0.0, self.deadline.left())
        return next_pass(self.roster.open_passes(), done, self._expected_seconds, left)

    def _expected_seconds(self, work: Pass) -> float:
        """Of a pass: speed of its recipe times frames shown of as many typical clips as there are, on all lanes."""
        speed = self.machine.speed.get(self.members[work.member][0].name)
        frames = self.roster.typical_frames(work) * len(self.clips) / len(self.machine.lanes)
        return (speed.seconds(frames) if speed else None) or float(frames)

    def _skipped(self, name: str, reason: str) -> None:
        self.report.members_skipped[name] = reason
        self.progress.say(f"member skipped: {name}: {reason}")

    def _company(self, work: Pass, done: list[Pass]) -> list[Pass]:
        """The pass with those that share its batches: as many as surely end in time, once one like it was measured."""
        recipe, _ = self.members[work.member]
        seconds = self.pass_seconds.get((recipe.name, work.view))
        if not seconds:
            return [work]
        most = min(self._most_in_team(work), int(TEAM_TIME * self.deadline.left() / seconds))
        return company(self.roster.open_passes(), done, work, self.members, self._expected_seconds, most)

    def _most_in_team(self, work: Pass) -> int:
        """Members whose weights have room, and that leave a batch several windows."""
        recipe, _ = self.members[work.member]
        window = self.roster.longest_window(recipe, TYPICAL_SECONDS)
        seconds = self.machine.speed[recipe.name].seconds(window) or 1e-9
        if self.machine.on_gpu:
            return int(BATCH_SECONDS["cuda"] / TEAM_WINDOWS / seconds)
        predictors = self.roster.predictors(work.member) or {}
        n_bytes = sum(predictor.n_bytes for predictor in predictors.values())
        return min(int(BATCH_SECONDS["cpu"] / TEAM_WINDOWS / seconds), int(TEAM_BYTES / max(1, n_bytes)))

    def _run_pass(self, works: list[Pass], done: list[Pass]) -> bool:
        """One pass, or several that share their batches; False when the run must end."""
        recipe, _ = self.members[works[0].member]
        works = [work for work in works if self.roster.predictors(work.member) is not None]
        if not works:
            return True
        name = works[0].name(self.members) + (f" and {len(works) - 1} more" if len(works) > 1 else "")
        following = self._next(done)
        if following is not None:
            self.roster.load(following.member)
        digest = recipe.digest()
        later = {self.members[p.member][0].digest() for p in self.passes if p not in done}
        predictors = self._predictors(works)
        view = self.roster.view(recipe, works[0].view)
        run = PassRun(self.machine, works, recipe, view, predictors, keep=digest in later)
        began = self.deadline.elapsed()
        self.progress.begin(f"pass {len(done)} of {len(self.passes)} {name}", run.total)
        complete = run.run(self._tick)
        self.progress.end()
        self._say_notes()
        self._checkpoint()
        if complete and run.failed:
            self.report.counts[f"clips that {name} answered one after the other"] += run.failed
            return all(self._run_pass([work], done) for work in works)
        if complete:
            self.pass_seconds[recipe.name, works[0].view] = (self.deadline.elapsed() - began) / len(works)
            self.report.passes_done += len(works)
            self.progress.say(f"{name}: {run.done:,} clips done; {self._cache_note()}")
        elif not self.should_stop():
            self.report.passes_cut = name
        if digest not in later:
            self.cache.drop(digest)
        for work in works:
            if all(p.member != work.member for p in self.passes if p not in done):
                self.roster.unload(work.member)
        return complete

    def _predictors(self, works: list[Pass]) -> Mapping[str, Predictor | Team]:
        if len(works) == 1:
            return self.roster.predictors(works[0].member) or {}
        return self.roster.team([work.member for work in works])

    def _say_notes(self) -> None:
        while self.roster.notes:
            self.progress.say(self.roster.notes.popleft())

    # ------------------------------------------------------------ while a pass runs

    def _tick(self, run: PassRun) -> None:
        self._say_notes()
        self.progress.at(run.done, lambda: f"{_about(run.seconds_left())}; {self._cache_note()}")
        if self.draft.is_due:
            self._checkpoint()
        if not self.gauge.look():
            return
        beside_cache = self.gauge.used_bytes - self.cache.memory_bytes
        if beside_cache > self.expected_bytes or self.gauge.used_bytes > TRIM * self.memory_limit:
            return_free_memory()
        if self.gauge.used_bytes > SQUEEZE * self.memory_limit:
            self.report.counts["memory squeezes"] += 1
            self.cache.freeze()
            frames = self.machine.batch_frames
            frames.update({name: max(1, count // 2) for name, count in frames.items()})

    def _checkpoint(self) -> None:
        self.draft.renew()

    def _cache_note(self) -> str:
        counts = self.cache.counts
        return (
            f"spectrograms {self.cache.memory_bytes / GIB:.2f} GiB in memory, {self.cache.disk_bytes / GIB:.2f} GiB "
            f"spilled ({counts['disk']:,} clips); {self.gauge.used_bytes / GIB:.2f} of "
            f"{self.memory_limit / GIB:.2f} GiB used"
        )

    # ------------------------------------------------------------ the end

    def _finish(self) -> int:
        """The last write, the report, and the status: 0 with answers, 3 without any, 1 if they could not be written."""
        written = self.draft.finish()
        if not written:
            self.report.counts[f"last write failed ({self.draft.error or 'too slow'}), the one before it stands"] += 1
        for name, clips in self.machine.answers.not_finite.items():
            self.report.left_out(name, [self.sample.names[clip] for clip in clips.nonzero()[0]])
        for what in ("damaged", "disk full", "pressure", "not kept", "evicted"):
            if self.cache.counts[what]:
                self.report.counts[f"spectrograms {what}"] = self.cache.counts[what]
        lanes = len(self.machine.lanes)
        predicting = lanes * (self.deadline.elapsed() - self.report.seconds["start"])
        self.report.seconds["idle (lanes)"] = max(0.0, predicting - self.report.seconds["forward (lanes)"])
        self.report.seconds["last write"] = self.draft.write_seconds
        self.report.seconds["in all"] = self.deadline.elapsed()
        answered = int(self.machine.answers.answered().sum())
        for line in [*self.report.lines(answered), *self.draft.top_tags()]:
            self.progress.say(line)
        self.progress.say(
            f"{self.settings.out}; peak memory {self.gauge.peak_bytes / 1e6:,.0f} MB of "
            f"{self.memory_limit / 1e6:,.0f} MB allowed"
        )
        self.tell({"event": "finished", "answered": self.draft.written, "peak_bytes": self.gauge.peak_bytes})
        readable = len(self.clips) - len(self.report.missing) - len(self.report.unreadable)
        if not written:
            return 1
        return 0 if answered or readable == 0 else 3

    def close(self) -> None:
        """Lanes, workers and cache go."""
        for lane in self.machine.lanes if hasattr(self, "machine") else ():
            lane.close()
        self.pool.close()
        self.cache.close()


def _about(seconds: float | None) -> str:
    return "no estimate yet" if seconds is None else f"about {seconds:,.0f} s left"


def run(settings: RunSettings, should_stop: Callable[[], bool] = lambda: False, tell: Tell = lambda _: None) -> int:
    """Run once in this process.

    Returns:
        The exit status: 0 when every row has a prediction or a counted fallback, 3 when no clip was reached in time.

    Raises:
        KitError: settings, weights or limits with which there can be no prediction at all.
        DeviceError: a device broke; another engine, without it, can go on where this one stood.
    """
    this = Run(settings, should_stop, tell)
    try:
        return this.run()
    finally:
        if hasattr(this, "pool"):
            this.close()
