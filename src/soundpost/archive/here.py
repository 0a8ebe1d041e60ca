"""The default engine: this machine, through the cache, the batches and the lanes of kernel.py, one part after another.

Workers, cache and lanes are made once and serve all parts; each part is a contest of its own, whose rows are its clips.
Nothing grows with their number: spectrograms beyond a bound that goes by the cores lie on disk, all of a part's are
dropped with it, and the allocator then gives back what it holds unused.
"""

import csv
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from soundpost.archive import addresses
from soundpost.archive.bar import Bar, PartProgress
from soundpost.archive.embedder import Embedder
from soundpost.archive.part_books import NoSubmission, PartReport, Vectors
from soundpost.archive.plan import Answer, Plan, Row, rows_of
from soundpost.contest.clips import Clip
from soundpost.engine.clip_states import PassPlan
from soundpost.engine.housekeeping import Housekeeping
from soundpost.engine.pass_run import PassRun
from soundpost.engine.predictions import Predictions
from soundpost.engine.provision import provisioned
from soundpost.engine.run import Run
from soundpost.engine.session import Session
from soundpost.ensemble.passes import Pass
from soundpost.errors import DeviceError, WeightsError
from soundpost.resources.engine_environment import settle
from soundpost.resources.memory import MIB, cores, is_in_memory, return_free_memory
from soundpost.settings import RunSettings

CACHE_BYTES = 32 * MIB  # spectrograms in memory, for each core; the others of a part are spilled
BATCH_BYTES = 64 * MIB  # a batch on a core; larger ones are hardly quicker, and only large parts fill them
FOREVER_SECONDS = 1e9  # an archive has no time limit


def answer_here(
    plan: Plan, parts: Sequence[int], bar: Bar, scratch: Path | None = None
) -> Iterator[tuple[int, list[Answer]]]:
    """Answers of all rows, part by part.

    Args:
        plan: what is asked for.
        parts: numbers of the parts that are wanted.
        bar: told how far it is.
        scratch: where spectrograms are spilled and what is fetched lies; None: the system's temporary folder.

    Raises:
        SettingsError, WeightsError: what is asked for cannot be had.
        DeviceError: a device broke; --resume goes on from the last part.
    """
    settle()
    with TemporaryDirectory(prefix="soundpost-archive-", dir=scratch) as folder, ExitStack() as stack:
        session = stack.enter_context(provisioned(_settings(plan, Path(folder))))
        _refuse_skipped(session.report.members_skipped)
        _bound_batches(session)
        ahead = stack.enter_context(ThreadPoolExecutor(1, "fetch"))  # after the workers were forked
        coming: Future[list[Row]] | None = None
        for number, part in enumerate(parts):
            rows = (coming or ahead.submit(_rows, plan, part, Path(folder))).result()
            following = parts[number + 1 : number + 2]
            coming = ahead.submit(_rows, plan, following[0], Path(folder)) if following else None
            yield part, _Part(plan, session, rows, bar, Path(folder) / f"part-{part}").answers()
            shutil.rmtree(_fetched(Path(folder), part), ignore_errors=True)
            return_free_memory()


def _settings(plan: Plan, folder: Path) -> RunSettings:
    """A run without rows: they come part by part."""
    sample = folder / "columns.csv"
    with sample.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerow(["id", *plan.labels])
    any_remote = any(addresses.is_remote(path.as_py()) for path in plan.clips["path"])
    return RunSettings(
        assets=str(plan.weights),
        test_dir=str(folder / "none"),
        sample_submission=str(sample),
        out=str(folder / "none.csv"),
        scratch=str(folder),
        time_limit_seconds=FOREVER_SECONDS,
        device=plan.device,
        precision=plan.precision,
        views=plan.views,
        members=tuple(member.name for _, member in plan.chosen),
        progress="none",
        dry_run=True,  # no submission.csv is written
        cache_memory_bytes=0 if is_in_memory(folder) else CACHE_BYTES * cores(),  # 0: what the machine allows
        start_method="spawn" if any_remote or addresses.has_threads() else "auto",
    )


def _bound_batches(session: Session) -> None:
    """Let no lane on a core take more than BATCH_BYTES for a batch, so that memory does not go by how full they are."""
    lane_bytes = (session.expected_bytes - session.memory.used_bytes) / len(session.lanes)
    if session.on_gpu or lane_bytes <= BATCH_BYTES:
        return
    frames = session.batch_frames
    frames.update({recipe: max(1, int(count * BATCH_BYTES / lane_bytes)) for recipe, count in frames.items()})


def _rows(plan: Plan, part: int, folder: Path) -> list[Row]:
    clips = plan.items(part)
    told = plan.clips.slice(clips.start, len(clips)).to_pylist()
    local = addresses.fetch_all([clip["path"] for clip in told], _fetched(folder, part))

    def rows(clip: int) -> list[Row]:
        number = clip - clips.start
        return rows_of(clip, told[number], local[number], plan.window_seconds, plan.hop_seconds)

    with ThreadPoolExecutor(addresses.FETCHERS) as readers:
        return [row for found in readers.map(rows, clips) for row in found]


def _fetched(folder: Path, part: int) -> Path:
    return folder / f"fetched-{part}"


def _refuse_skipped(skipped: dict[str, str]) -> None:
    """Raise WeightsError for a member that is left out: all rows of an archive are answered by the same members."""
    for name, reason in skipped.items():
        raise WeightsError(f"{name} cannot be used: {reason} Mend it, or name the others by --members.")


class _Part:
    """One part as a run of the engine over a session that is there."""

    def __init__(self, plan: Plan, session: Session, rows: Sequence[Row], bar: Bar, folder: Path) -> None:
        self._plan = plan
        self._answers = [Answer(row, unreadable=row.failure) for row in rows]
        self._heard = [answer for answer in self._answers if answer.row.local is not None]
        self._bar = bar
        self._skipped = session.report.members_skipped  # where the pool of models tells of them
        self._folder = folder
        clips = [Clip(a.row.id, a.row.local, a.row.n_bytes, a.row.stretch) for a in self._heard]
        models = session.models
        passes = [(p.member, p.view) for p in models.passes]
        self._report = PartReport(n_clips=len(clips))
        rounds = len(passes) + bool(plan.embedding)
        self._session = replace(
            session,
            contest=replace(session.contest, clips=clips, n_files=len(clips)),
            predictions=Predictions(models.members, len(clips), passes, folder),
            live=NoSubmission(session.live.blend),
            report=self._report,
            progress=PartProgress(bar, len(clips), rounds),
            dead=set(),
        )

    def answers(self) -> list[Answer]:
        """All rows of the part."""
        session = self._session
        if self._heard:
            run = Run(session)
            self._embed(run)
            self._run(run)
            _refuse_skipped(self._skipped)
            self._tell()
        for recipe in session.models.recipes:
            session.cache.drop(recipe.digest())
        if any(lane.waiting for lane in session.lanes):
            raise DeviceError("a device still works on clips of a part that is over. Go on with --resume.")
        shutil.rmtree(self._folder, ignore_errors=True)
        self._bar.reach(len({answer.row.clip for answer in self._answers}))
        return self._answers

    def _run(self, run: Run) -> None:
        done: list[Pass] = []
        while (work := run.scheduler.next(done)) is not None:
            works = run.scheduler.sharing(work, done)
            done += works
            if not run.run_pass(works, done):
                return
            return_free_memory()

    def _embed(self, run: Run) -> None:
        """A pass of one member that gives embeddings; its spectrograms stay for those that follow."""
        session, models = self._session, self._session.models
        if not self._plan.embedding:
            return
        number = next(i for i, (_, m) in enumerate(models.members) if m.name == self._plan.embedding)
        recipe, _ = models.members[number]
        predictors = session.predictors(number)
        _refuse_skipped(self._skipped)
        vectors = Vectors(self._plan.embedding, len(self._heard))
        pass_plan = PassPlan([Pass(number, 0, 1.0)], recipe, models.sizes.view(recipe, 0), keep=True)
        embedders = {device: Embedder(predictor) for device, predictor in (predictors or {}).items()}
        pass_run = PassRun(replace(session, predictions=vectors), pass_plan, embedders)
        housekeeping = Housekeeping(session, lambda: run.scheduler.seconds_after(()))
        session.progress.begin("embeddings", pass_run.total)
        pass_run.run(housekeeping.attend)
        session.progress.end()
        models.unload(number)  # so that nobody listens to its class layer any more
        for answer, vector in zip(self._heard, vectors.found, strict=True):
            answer.embedding = vector

    def _tell(self) -> None:
        """Put probabilities and remarks where they belong."""
        session, report = self._session, self._report
        predictions, contest = session.predictions, session.contest
        table = predictions.blended(session.live.blend, dict(contest.maps), contest.priors)
        passes = session.models.passes
        seen = np.array([predictions.seen(p.member, p.view) for p in passes])
        not_finite = {name: spoilt for name, spoilt in predictions.not_finite.items() if spoilt.any()}
        for i, answer in enumerate(self._heard):
            name = answer.row.id
            answer.mended = "; ".join(report.mended.get(i, ()))
            answer.silent = report.silent.get(i, "")
            there = int(seen[:, i].sum())
            why = report.unfinished.get(name) or report.too_large.get(name) or report.unreadable.get(name, "")
            if there:
                answer.probabilities = table[i]
                if there < len(passes):
                    lost = len(passes) - there
                    answer.incomplete = f"{lost} of {len(passes)} passes gave no answer. {why}".strip()
                elif left_out := [who for who, spoilt in not_finite.items() if spoilt[i]]:
                    answer.incomplete = f"answers of {', '.join(left_out)} are not finite and were left out"
            else:
                answer.unreadable = why or f"{name}: no member answered"
