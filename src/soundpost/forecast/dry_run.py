"""A run that measures instead of answering: the first pass of each recipe over a folder, and what it foretells."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from soundpost.audio.decode import probe
from soundpost.contest import submission
from soundpost.contest.clips import Clip
from soundpost.engine.run import Run, Tell
from soundpost.ensemble.passes import Pass
from soundpost.ensemble.recipes import Recipe
from soundpost.errors import ClipError, SettingsError
from soundpost.forecast.forecast import Capacity, FrontEndCost, Load, PassCost, foretell
from soundpost.forecast.hardware import CORE, known_device, named, slowdown
from soundpost.inference.devices import choose_devices
from soundpost.resources.deadline import EXIT_SECONDS
from soundpost.resources.memory import cores
from soundpost.settings import RunSettings

MOST_CLIPS = 300  # a dry run measures so many clips of the folder, of all lengths alike
FOLD = 3  # the hidden set of Freesound 2019 was about three times the public one
LITTLE_SECONDS = 60.0  # of audio; less makes a rough forecast
KEPT_SHARE = 0.92  # of a named machine's memory that a run may take


@dataclass(frozen=True)
class Measured:
    """What the first pass of one recipe took, in seconds of cores and lanes."""

    audio_seconds: float  # as the headers say
    decoded_seconds: float  # of audio after trimming and the length rule, of the clips decoded in this pass
    decoded: int  # clips decoded in this pass
    decode: float
    features: float
    forward: float
    clock: float


class DryRun(Run):
    """A run over at most MOST_CLIPS clips that ends in a forecast; its submission goes where main put it."""

    def _read_contest(self) -> None:
        super()._read_contest()
        self.there = sum(clip.path is not None for clip in self.clips)
        self.clips = _spread(self.clips)
        self.report.n_clips = len(self.clips)
        self.length = {clip.name: _seconds(clip) for clip in self.clips}

    def run(self) -> int:
        """Measure, foretell, say so; exit status 0 whatever the verdict.

        Raises:
            SettingsError: no clip here could be predicted, or the named machine is not known.
        """
        target = named(self.settings.as_machine) if self.settings.as_machine else None
        self._start_workers()
        self._read_contest()
        self.devices = self.roster.devices = choose_devices(self.settings.device)
        self._share_memory()
        measured = self._measure()
        if not measured:
            raise SettingsError(
                f"a dry run measures clips, and of {self.there:,} in {self.settings.test_dir} none was predicted. "
                "Give a folder with some clips of the kind to expect, and time for them."
            )
        here = Capacity(
            cores=min(cores(), len(self.pool.workers)) if self.devices[0] != "cpu" else cores(),
            lanes=len(self.devices),
            on_gpu=self.devices[0] != "cpu",
            resident_bytes=max(0, self.gauge.peak_bytes - self.cache.memory_bytes),
            cache_bytes=self.cache.memory_limit_bytes - self.cache.staging_bytes,
            disk_bytes=self.cache.disk_limit_bytes,
        )
        overhead = max(
            1.0, sum(m.clock for m in measured.values()) / sum(_explained(m, here) for m in measured.values())
        )
        load = self._load_expected(overhead)
        factor, capacity = 1.0, here
        if target:
            factor = slowdown(self._known_device(), target.device)
            capacity = replace(
                here,
                cores=target.cores,
                lanes=target.lanes,
                on_gpu=target.device != CORE,
                cache_bytes=max(0, int(KEPT_SHARE * target.memory_bytes) - here.resident_bytes),
                disk_bytes=target.disk_bytes,
            )
        front_ends, passes = self._costs(measured, load, factor)
        self._say(measured, load, factor)
        for line in foretell(passes, front_ends, capacity, load).lines(load.limit_seconds):
            self.progress.say(line)
        return 0

    # ------------------------------------------------------------ measuring

    def _measure(self) -> dict[str, Measured]:
        """What the first pass of each recipe took, by the recipe's name."""
        measured: dict[str, Measured] = {}
        for recipe in self.recipes:
            work = next((p for p in self.passes if self._is_first(p, recipe)), None)
            if work is None:
                continue
            before, report = dict(self.report.seconds), self.report
            audio_before, began = report.audio_seconds, time.monotonic()
            cached = sum(1 for key in self.cache if key.digest == recipe.digest())
            complete = self._run_pass([work], [work])
            answered = self.machine.answers.seen(work.member, work.view)
            names = [clip.name for clip, seen in zip(self.clips, answered, strict=True) if seen]
            if not names:
                continue
            measured[recipe.name] = Measured(
                audio_seconds=max(1e-3, sum(self.length[name] for name in names)),
                decoded_seconds=report.audio_seconds - audio_before,
                decoded=0 if cached else len(names),
                decode=report.seconds["decode (CPU)"] - before.get("decode (CPU)", 0.0),
                features=report.seconds["features (CPU)"] - before.get("features (CPU)", 0.0),
                forward=report.seconds["forward (lanes)"] - before.get("forward (lanes)", 0.0),
                clock=time.monotonic() - began,
            )
            if not complete:
                break
        return measured

    def _is_first(self, work: Pass, recipe: Recipe) -> bool:
        member_of = self.members[work.member][0]
        return work.view == 0 and member_of is recipe and self.roster.predictors(work.member) is not None

    def _checkpoint(self) -> None:
        """Nothing is written."""

    def _write_seconds(self) -> float:
        """Of one write of a submission, for each row."""
        began = time.monotonic()
        submission.write(Path(self.settings.out), self.sample, (self.priors for _ in self.sample.names))
        return (time.monotonic() - began) / max(1, len(self.sample.names))

    # ------------------------------------------------------------ foretelling

    def _load_expected(self, overhead: float) -> Load:
        seconds = [s for s in self.length.values() if s > 0]
        clips = self.settings.expect_clips or FOLD * self.there
        each = self.settings.expect_seconds or float(np.mean(seconds))
        return Load(
            clips=clips,
            audio_seconds=clips * each,
            limit_seconds=self.settings.time_limit_seconds,
            start_seconds=self.report.seconds["start"],
            end_seconds=EXIT_SECONDS + 2 * clips * self._write_seconds(),
            overhead=overhead,
        )

    def _costs(
        self, measured: dict[str, Measured], load: Load, factor: float
    ) -> tuple[dict[str, FrontEndCost], list[PassCost]]:
        """Costs by digest, and of the passes in the order of the plan; a recipe not measured is left out."""
        front_ends: dict[str, FrontEndCost] = {}
        for recipe in self.recipes:
            m = measured.get(recipe.name)
            if m and recipe.digest() not in front_ends:
                shape = self.roster.shape(recipe, m.decoded_seconds / max(1, m.decoded))
                n_bytes = float(np.prod(shape)) * np.dtype(self.settings.cache_dtype).itemsize * m.decoded
                front_ends[recipe.digest()] = FrontEndCost(
                    m.decode / m.audio_seconds, m.features / m.audio_seconds, n_bytes / m.audio_seconds
                )
        order: list[Pass] = []
        while (work := self._next(order)) is not None:
            order.append(work)
        each = load.audio_seconds / load.clips
        passes = []
        for work in order:
            recipe = self.members[work.member][0]
            if m := measured.get(recipe.name):
                frames = self.roster.shape(recipe, each)[2]
                shown = [sum(w.frames for w in self.roster.view(recipe, v).windows(frames)) for v in (0, work.view)]
                forward = factor * m.forward / m.audio_seconds * shown[1] / max(1, shown[0])
                passes.append(PassCost(work.name(self.members), recipe.digest(), forward))
        return front_ends, passes

    def _known_device(self) -> str:
        """This device's name in the table of peaks."""
        if self.devices[0] == "cpu":
            return CORE
        import torch

        description = torch.cuda.get_device_name(self.devices[0])
        if not (name := known_device(description)):
            raise SettingsError(
                f"--as {self.settings.as_machine}: this device, {description}, stands in no table. Measure with "
                "--device cpu, or on a device that does."
            )
        return name

    def _say(self, measured: dict[str, Measured], load: Load, factor: float) -> None:
        audio = max(m.audio_seconds for m in measured.values())
        count = sum(clip.path is not None for clip in self.clips)
        each = load.audio_seconds / load.clips
        rough = "; so little audio makes a rough forecast" if audio < LITTLE_SECONDS else ""
        self.progress.say(f"dry run over {count:,} of {self.there:,} clips, {audio:,.0f} s of audio{rough}")
        self.progress.say(
            f"expected: {load.clips:,} clips of {each:.1f} s on the average; overhead {load.overhead:.2f} times"
        )
        if self.settings.as_machine:
            self.progress.say(
                f"ESTIMATE for {self.settings.as_machine}: forward passes take {factor:.3g} times as long on one of "
                "its devices, by published peaks; its cores are taken to be as fast as these"
            )


def _explained(measured: Measured, here: Capacity) -> float:
    """Seconds of the clock that a pass would take if nothing ever waited."""
    computing = measured.decode + measured.features
    if here.on_gpu:
        return max(1e-6, computing / here.cores, measured.forward / here.lanes)
    return max(1e-6, (computing + measured.forward) / here.cores)


def _spread(clips: Sequence[Clip]) -> tuple[Clip, ...]:
    """At most MOST_CLIPS clips, evenly taken from the smallest file to the largest."""
    there = sorted((clip for clip in clips if clip.path is not None), key=lambda clip: clip.n_bytes)
    if len(there) <= MOST_CLIPS:
        return tuple(there)
    return tuple(there[round(i)] for i in np.linspace(0, len(there) - 1, MOST_CLIPS))


def _seconds(clip: Clip) -> float:
    """Of a clip's audio, as its header says; 0 when it says nothing."""
    try:
        found = probe(clip.path) if clip.path else None
    except ClipError:
        return 0.0
    return found.samples / found.sample_rate if found else 0.0


def run(settings: RunSettings, should_stop: Callable[[], bool] = lambda: False, tell: Tell = lambda _: None) -> int:
    """Measure once in this process and say what is to be expected.

    Returns:
        The exit status, 0.

    Raises:
        KitError: there is nothing that could be measured.
    """
    this = DryRun(settings, should_stop, tell)
    try:
        return this.run()
    finally:
        if hasattr(this, "pool"):
            this.close()
