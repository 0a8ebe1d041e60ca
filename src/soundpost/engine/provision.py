"""A session is provided in the one order that works, and taken down again.

Workers come first: forking must precede threads and CUDA, and needs neither rows nor networks in its memory, only code
that each of them would compile for itself. Then the contest is read, devices are chosen, networks tried out, and the
memory limit is shared out by what they cost.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from soundpost.after.apply import steps_of
from soundpost.engine.contest import Contest
from soundpost.engine.devices_in_use import DevicesInUse
from soundpost.engine.finish_table import FinishTable
from soundpost.engine.heartbeat import Heartbeat, Tell
from soundpost.engine.lanes import Lane, Results
from soundpost.engine.live_submission import LiveSubmission
from soundpost.engine.predictions import Predictions
from soundpost.engine.progress import Progress
from soundpost.engine.report import Report
from soundpost.engine.rows import Choose, provide_contest
from soundpost.engine.run_log import RunLog
from soundpost.engine.session import Session
from soundpost.engine.try_out import TryOut
from soundpost.ensemble.blend import Blend
from soundpost.ensemble.near_names import near_names
from soundpost.ensemble.weights_folder import Assets, find_assets
from soundpost.errors import DeviceError, SettingsError, WeightsError
from soundpost.inference.devices import choose_devices
from soundpost.inference.model_pool import ModelPool
from soundpost.inference.stacking import ready_blend
from soundpost.resources import memory_budget
from soundpost.resources.deadline import Deadline
from soundpost.resources.memory import (
    GIB,
    cores,
    disk_free,
    is_in_memory,
    lonely_memory,
    memory_allowed,
    memory_groups,
    return_free_memory,
)
from soundpost.resources.memory_budget import Budget
from soundpost.resources.memory_monitor import MemoryMonitor
from soundpost.settings import RunSettings
from soundpost.spectrograms.cache import SpectrogramCache
from soundpost.spectrograms.worker_pool import WorkerPool

SAMPLES_PER_SECOND = 48_000  # the densest usual audio, by which a worker's memory bounds the length of a clip


@contextmanager
def provisioned(
    settings: RunSettings,
    should_stop: Callable[[], bool] = lambda: False,
    tell: Tell = lambda event: None,
    choose: Choose = tuple,
) -> Iterator[Session]:
    """A session that is ready for its first pass; lanes, workers and cache go with the context.

    Args:
        settings: what is asked for.
        should_stop: whether a signal asks for the end.
        tell: takes events for the supervisor.
        choose: the clips to answer, of those that the sample submission names.

    Raises:
        KitError: settings, weights or limits with which there can be no prediction at all.
        DeviceError: the GPU does not work; another engine can go on without it.
    """
    started = settings.started or time.monotonic()
    deadline = Deadline(settings.time_limit_seconds, started, engine_started=settings.engine_started or started)
    deadline.wrote(settings.write_seconds)
    progress = Progress(settings.progress, settings.time_limit_seconds, deadline.elapsed)
    report, log = Report(), RunLog(tell, deadline.elapsed)
    assets = find_assets(Path(settings.assets), input_root=Path(settings.input_root))
    models = _models(settings, assets, report, progress)
    models.compile()
    with ExitStack() as stack:
        cache, pool, memory = _start_workers(settings, report, stack)
        contest = provide_contest(settings, assets.submission, models.recipes, report, choose)
        _tell_windows(models, contest)
        progress.unit = report.units.worked
        _say_what(contest, models, report, progress)
        heartbeat = Heartbeat(tell, settings.time_limit_seconds, is_needed=settings.device != "cpu")
        devices = _devices(settings, models, heartbeat, report, progress, tell)
        predictions, live = _predictions(settings, assets, models, contest, report, progress, deadline, tell)
        live.unit = report.units.answers
        tried = _try_out(models, devices, heartbeat, report, assets)
        shares = _share_memory(memory, pool, devices, tried, settings)
        _give_cache(cache, shares, settings)
        _fit_cores(devices, tried, shares)
        results = Results()
        lanes = [Lane(device, cache.pages, results) for device in devices.names]
        stack.callback(_close_lanes, lanes)
        _say_shares(devices.names, shares, memory, cache, progress)
        log.ready(lanes, shares.workers, memory.limit_bytes, models.members, live.blend)
        deadline.ready()
        report.seconds["start"] = deadline.elapsed()
        yield Session(
            settings=settings, should_stop=should_stop, tell=tell, heartbeat=heartbeat,
            deadline=deadline, progress=progress, report=report, log=log, contest=contest,
            devices=devices, models=models, lanes=lanes, results=results, cores=cores(),
            batch_frames=tried.batch_frames, speed=tried.speed,
            cache=cache, pool=pool, memory=memory, predictions=predictions, live=live,
            max_seconds=shares.worker_bytes / (memory_budget.BYTES_PER_SAMPLE * SAMPLES_PER_SECOND),
            expected_bytes=memory.used_bytes + shares.lanes * shares.lane_bytes,
        )  # fmt: skip


def _models(settings: RunSettings, assets: Assets, report: Report, progress: Progress) -> ModelPool:
    def skipped(name: str, reason: str) -> None:
        report.skip(name, reason)
        progress.say(f"member skipped: {name}: {reason}")

    models = ModelPool(assets, settings.members, settings.views, settings.precision, skipped, settings.backend)
    report.passes_planned = len(models.passes)
    return models


def _start_workers(
    settings: RunSettings, report: Report, stack: ExitStack
) -> tuple[SpectrogramCache, WorkerPool, MemoryMonitor]:
    """The cache and the workers that fill it; both go with the stack."""
    allowed = memory_allowed()
    limit = min(settings.memory_limit_bytes or int(memory_budget.LIMIT_SHARE * allowed), allowed)
    scratch = Path(settings.scratch)
    disk = settings.disk_limit_bytes or int(memory_budget.DISK_SHARE * disk_free(scratch))
    if is_in_memory(scratch):
        report.counts["scratch is memory, nothing is spilled"] += 1
        disk = 0
    pools: list[WorkerPool] = []  # empty until the one pool, which needs the cache, is there
    supervisors = [settings.supervisor_pid] if settings.supervisor_pid else []
    memory = MemoryMonitor(limit, lambda: [*(pid for pool in pools for pid in pool.pids), *supervisors])
    cache = SpectrogramCache(
        int(memory_budget.CACHE_CEILING_SHARE * limit), disk, scratch, settings.cache_dtype, pressure=memory.pressure
    )
    stack.callback(cache.close)
    pool = WorkerPool(settings.workers or min(16, cores()), cache.pages, _start_method(settings))
    stack.callback(pool.close)
    pools.append(pool)
    return cache, pool, memory


def _start_method(settings: RunSettings) -> str:
    return "fork" if settings.start_method == "auto" else settings.start_method


def _tell_windows(models: ModelPool, contest: Contest) -> None:
    """Views and sizes are those of windows where rows are windows."""
    if contest.windows is not None:
        rows = sum(len(stretch.answers) for stretch in contest.windows.stretches)
        models.sizes.row_seconds = each = contest.windows.row_seconds
        models.sizes.typical_seconds = each * max(1, round(rows / max(1, len(contest.clips))))
        for recipe in models.recipes:
            models.sizes.windows(recipe)  # what cannot be used is refused before anything is computed


def _say_what(contest: Contest, models: ModelPool, report: Report, progress: Progress) -> None:
    columns = contest.sample.columns
    unknown = sorted(set(range(len(columns))) - {c for m in contest.maps.values() for c in m.columns})
    rows = f"{len(contest.clips):,} rows, {len(report.missing):,} of them without a file"
    if contest.windows is not None:
        progress.say(contest.windows.sentence)
        rows = (
            f"{report.n_answers:,} rows of {contest.windows.row_seconds:g} s; {contest.n_files:,} recordings; "
            f"{len(contest.clips):,} {report.units.worked}, {len(report.missing):,} of them without a file"
        )
    progress.say(f"{rows}; {len(models.members)} members, {len(models.passes)} passes")
    filled = {recipe.labels[i] for recipe in models.recipes for i in contest.maps[recipe.name].classes}
    idle = [label for recipe in models.recipes for label in recipe.labels if label not in filled]
    if near := near_names([columns[i] for i in unknown], idle):
        pairs = ", ".join(f"column {column!r} and label {label!r}" for column, label in near[:8])
        report.warnings.append(f"nearly the same: {pairs}. If they are, say so by [aliases] in recipe.toml.")
    for warning in report.warnings:
        progress.say(f"warning: {warning}")
    if unknown:
        names = ", ".join(columns[i] for i in unknown[:8]) + (", ..." if len(unknown) > 8 else "")
        progress.say(f"{len(unknown)} columns no member knows get a constant: {names}")


def _predictions(
    settings: RunSettings,
    assets: Assets,
    models: ModelPool,
    contest: Contest,
    report: Report,
    progress: Progress,
    deadline: Deadline,
    tell: Tell,
) -> tuple[Predictions, LiveSubmission]:
    """The tables of what members answer, and the submission that grows out of them."""
    passes = [(p.member, p.view) for p in models.passes]
    predictions = Predictions(models.members, contest.n_answers, passes, Path(settings.scratch))
    names = [member.name for _, member in models.members]
    blend, skipped = ready_blend(assets.submission, names, contest.sample.columns, lambda _, m: assets.arrays(m))
    for name, reason in skipped.items():
        report.skip(name, reason)
        progress.say(f"member skipped: {name}: {reason}")
    live = LiveSubmission(
        Path(settings.out), contest.sample, predictions, blend, contest.maps, contest.priors, deadline, tell,
        is_written=not settings.dry_run, finish_table=_finishing(assets, contest, predictions, blend),
    )  # fmt: skip
    return predictions, live


def _finishing(assets: Assets, contest: Contest, predictions: Predictions, blend: Blend) -> FinishTable | None:
    """What becomes of the blended table: nothing, unless rows are windows or the submission asks for steps."""
    steps = steps_of(assets.submission.after)
    if contest.windows is None and not steps:
        return None
    return FinishTable(contest, predictions, blend, steps)


def _devices(
    settings: RunSettings, models: ModelPool, heartbeat: Heartbeat, report: Report, progress: Progress, tell: Tell
) -> DevicesInUse:
    """The devices that work; from here on the first touch of a GPU may hang, which the supervisor notices."""
    heartbeat.beat()
    try:
        names = choose_devices(settings.device)
    except DeviceError as error:
        if settings.attempt:
            raise
        raise SettingsError(str(error)) from error  # it was asked for and was never there
    devices = DevicesInUse(names, report, progress, tell)
    models.devices = devices.names
    if not devices.on_gpu:
        heartbeat.rest()
    heartbeat.beat()
    return devices


def _try_out(models: ModelPool, devices: DevicesInUse, heartbeat: Heartbeat, report: Report, assets: Assets) -> TryOut:
    """Costs of the recipes that have a member that works.

    Raises:
        WeightsError: no member works.
    """
    tried = TryOut(models, devices, heartbeat)
    if not tried.bytes_per_frame:
        reasons = (*report.members_skipped.values(), assets.missing_advice())
        raise WeightsError("no member can be used. " + " ".join(reasons).strip())
    return tried


def _fit_cores(devices: DevicesInUse, tried: TryOut, shares: Budget) -> None:
    """Lanes and batches are as many and as large as the host's memory allows."""
    if devices.on_gpu:
        tried.batch_frames.update({name: tried.frames_pinned(name, shares.lane_bytes) for name in tried.batch_frames})
    else:
        devices.names[:] = devices.names[: shares.lanes]
        tried.batch_frames.update({name: tried.frames_in(name, shares.lane_bytes) for name in tried.bytes_per_frame})


def _share_memory(
    memory: MemoryMonitor, pool: WorkerPool, devices: DevicesInUse, tried: TryOut, settings: RunSettings
) -> Budget:
    """What every part may use of the limit; workers for whom there is no room go."""
    return_free_memory()
    memory.look(force=True)
    shares = memory_budget.share(
        memory.limit_bytes,
        lonely_memory([os.getpid(), *memory.pids()]) + tried.coming_bytes,
        len(pool.workers),
        _start_method(settings),
        len(devices.names),
        max(memory_budget.LANE_BYTES, *tried.lane_bytes.values(), tried.group_bytes, tried.pinned_bytes),
        tried.window_bytes,
        memory_budget.CUDA_SHARE if devices.on_gpu and not memory_groups() else memory_budget.MARGIN_SHARE,
    )
    pool.shrink(shares.workers)
    return shares


def _give_cache(cache: SpectrogramCache, shares: Budget, settings: RunSettings) -> None:
    cache_bytes = min(settings.cache_memory_bytes or shares.cache_bytes, shares.cache_bytes)
    cache.lower_limit(cache_bytes, min(int(memory_budget.STAGING_SHARE * cache_bytes), memory_budget.MAX_STAGING_BYTES))


def _say_shares(
    devices: Sequence[str], shares: Budget, memory: MemoryMonitor, cache: SpectrogramCache, progress: Progress
) -> None:
    progress.say(
        f"{', '.join(f'{n} x {d}' for d, n in Counter(devices).items())}; {shares.workers} workers; of "
        f"{memory.limit_bytes / GIB:.2f} GiB: {memory.used_bytes / GIB:.2f} resident, "
        f"{shares.lanes * shares.lane_bytes / GIB:.2f} for batches, {cache.memory_limit_bytes / GIB:.2f} for "
        f"spectrograms ({cache.backing}), then {cache.disk_limit_bytes / GIB:.1f} GiB on disk"
    )


def _close_lanes(lanes: Sequence[Lane]) -> None:
    for lane in lanes:
        lane.close()
