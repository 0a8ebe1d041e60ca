"""Arguments in, exit status out: a valid submission from the first second, then the engine under supervision."""

import argparse
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from soundpost.contest import clips, submission
from soundpost.contest.contest import Contest, read_contest
from soundpost.contest.inputs import locate
from soundpost.contest.settings import ContestSettings
from soundpost.contest.submission import Sample
from soundpost.ensemble.columns import column_priors, map_all, names_of_labels
from soundpost.ensemble.weights_folder import INPUT_ROOT, Assets, default_root, find_assets
from soundpost.errors import KitError, SettingsError
from soundpost.exit_status import STATUS_DEFECT, STATUS_REFUSED
from soundpost.launch import requirements
from soundpost.launch.log import Log
from soundpost.launch.options import not_negative, parse
from soundpost.launch.page import write_page
from soundpost.launch.rehearsal import rehearsal
from soundpost.launch.rerun import final_status, is_on_kaggle, is_rerun
from soundpost.launch.summary import summary
from soundpost.launch.supervisor import Supervisor
from soundpost.launch.wheels import install
from soundpost.registry import settings_from
from soundpost.resources.processes import age_seconds
from soundpost.resources.signals import signals_noted
from soundpost.settings import RunSettings, parse_bytes, parse_seconds

SIGNALS = 128  # a status above it says that a signal ended the run, and a person waits for that
YOUNG_SECONDS = 60.0  # a process older than this is a notebook's, and its time did not begin with our run


def main(
    argv: Sequence[str] | None = None, settings: Mapping[str, object] | None = None, prog: str = "kernel.py"
) -> int:
    """One run from the command line, or from the settings block of a kernel.

    Args:
        argv: without the program's name; None: of this process.
        settings: defaults for the options, by their long names; None values are no defaults.
        prog: what the program is called in its help.

    Returns:
        The exit status, see the end of --help.
    """
    began = time.monotonic()
    try:
        options = parse(argv, settings or {}, prog)
    except SettingsError as error:
        print(f"error: {error}", flush=True)
        return STATUS_REFUSED
    log = Log(Path(options.log) if options.log else None, options.progress == "quiet")
    if old := requirements.outdated():
        log.say(f"warning: {old}")
    signals: list[int] = []  # those that come from here on; the first submission is written all the same
    try:
        with signals_noted(signals.append), _dry(options):
            run, contest = _prepare(options, _started(began), log)
            with rehearsal(run, contest) as rehearsed:
                if rehearsed is not None and not is_rerun():
                    return _rehearsed(rehearsed, options, log, signals)
            return _supervised(run, contest.sample, options, log, signals)
    except KitError as error:
        log.say(f"error: {error}")
        return STATUS_REFUSED


def _supervised(run: RunSettings, sample: Sample, options: argparse.Namespace, log: Log, signals: Sequence[int]) -> int:
    """The run itself, and the status that Kaggle is told."""
    supervisor = _supervisor(run, options, log, signals)
    try:
        status = supervisor.run()
    except Exception:
        if not is_rerun():
            raise
        traceback.print_exc()
        status = STATUS_DEFECT
    status = final_status(status, supervisor.answered, Path(run.out), sample, log.say, supervisor.unit)
    if supervisor.record:
        log.sum_up(summary(supervisor.record.table, status))
    if options.report and supervisor.record and status < SIGNALS and not is_rerun():  # nobody sees a rerun's files
        write_page(Path(options.report).absolute(), supervisor.record.path, run, log.say, signals)
    return status


def _supervisor(run: RunSettings, options: argparse.Namespace, log: Log, signals: Sequence[int]) -> Supervisor:
    relay = log.relay if log.path or log.is_quiet or not _has_own_output() else None
    assets = find_assets(Path(run.assets), input_root=Path(run.input_root))

    def provide(folder: Path, should_stop: Callable[[], bool]) -> str:
        wheels = () if run.backend == "torch" else assets.submission.wheels
        return install(wheels, assets.wheels, folder, run.time_limit_seconds, should_stop, log.say)

    return Supervisor(run, _scratch_root(options), log.say, relay, signals, provide)


def _rehearsed(run: RunSettings, options: argparse.Namespace, log: Log, signals: Sequence[int]) -> int:
    """Foretell the hidden run from training recordings; the stub sample has its answer already."""
    log.say(
        "no recording is in the test folder: training recordings are measured in their place, to foretell the hidden "
        f"run of {run.expect_clips:,} recordings of {run.expect_seconds:g} s; every row of the sample holds the priors"
    )
    status = _supervisor(run, options, log, signals).run()
    if status:
        log.say(f"the rehearsal ended with status {status}; what it says above would end the hidden run, too")
    return status


@contextmanager
def _dry(options: argparse.Namespace) -> Iterator[None]:
    """A dry run's submission goes into a folder that goes with it; nothing that is there is replaced."""
    if not options.dry_run:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="soundpost-dry-run-") as folder:
        options.out = str(Path(folder) / "submission.csv")
        yield


def _prepare(options: argparse.Namespace, started: float, log: Log) -> tuple[RunSettings, Contest]:
    """Everything that can be refused is refused here; then the first submission is written."""
    assets = find_assets(Path(options.assets) if options.assets else default_root())
    sample_path, test_dir = _paths(options)
    log.say(f"clips: {test_dir}; rows: {sample_path or 'a file each, as no sample_submission.csv is there'}")
    out = Path(options.out).absolute()
    if not out.parent.is_dir():
        raise SettingsError(f"--out {out}: no folder {out.parent}. Make it, or name another file.")
    recipes = assets.submission.recipes
    for lack in requirements.lacking(recipes):
        log.say(f"warning: {lack}")
    contest = _contest(sample_path, test_dir, assets)
    sample = contest.sample
    try:
        priors = column_priors(recipes, map_all(recipes, sample.columns, contest.synonyms), len(sample.columns))
    except SettingsError:
        if contest.windows is not None:  # rows are hard to come by again: leave a file that can be scored
            submission.write(out, sample, ([1 / len(sample.columns)] * len(sample.columns) for _ in sample.names))
        raise
    if options.workers < 0:
        raise SettingsError(f"--workers {options.workers} is negative. Give a count, or 0 to have it chosen.")
    begun = time.monotonic()
    try:
        submission.write(out, sample, (priors for _ in sample.names))
    except OSError as error:
        raise SettingsError(f"--out {out}: cannot be written ({error.strerror}). Name a file that can.") from error
    settings = RunSettings(
        assets=str(assets.root.absolute()),
        test_dir=str(test_dir.absolute()),
        sample_submission=str((sample_path or out).absolute()),
        out=str(out),
        scratch="",
        is_named=options.test_dir is not None and not is_rerun(),
        may_be_hidden=is_on_kaggle() or _is_mounted(options),
        input_root=str(Path(options.input_root).absolute()),
        time_limit_seconds=parse_seconds(options.time_limit, "time-limit"),
        started=started,
        write_seconds=time.monotonic() - begun,
        memory_limit_bytes=parse_bytes(options.memory_limit, "memory-limit") if options.memory_limit else 0,
        cache_memory_bytes=parse_bytes(options.cache_memory, "cache-memory") if options.cache_memory else 0,
        disk_limit_bytes=parse_bytes(options.disk_limit, "disk-limit") if options.disk_limit else 0,
        device=options.device,
        precision=options.precision,
        backend=options.backend,
        cache_dtype=options.cache_dtype,
        workers=int(options.workers),
        start_method=options.start_method,
        views=max(0, int(options.views)),
        members=tuple(filter(None, str(options.members).split(","))),
        progress=_progress(options.progress),
        dry_run=bool(options.dry_run),
        expect_clips=not_negative(options.expect_clips, "expect-clips"),
        expect_seconds=float(not_negative(options.expect_seconds, "expect-seconds")),
        as_machine=str(options.as_machine or "").lower(),
    )
    return settings, contest


def _contest(sample_path: Path | None, test_dir: Path, assets: Assets) -> Contest:
    """What is to be written; rows and columns of clips without a sample come from the folder and the labels."""
    if sample_path is None:
        return Contest("wide_clips", _sample_of(test_dir, assets))
    own = settings_from(ContestSettings, assets.submission.contest, "submission.toml [contest]")
    return read_contest(sample_path, test_dir, names_of_labels(assets.submission.recipes), own)


def _paths(options: argparse.Namespace) -> tuple[Path | None, Path]:
    """Sample submission (None: there is none, rows come from the folder) and folder of the clips."""
    sample = Path(options.sample_submission) if options.sample_submission else None
    if sample is not None and options.test_dir is None:
        raise SettingsError(f"--sample-submission {sample} without --test-dir. Name the folder of the clips, too.")
    if sample is None and options.test_dir is None:
        found = locate(Path(options.input_root), options.competition)
        return found.sample_submission, found.test_dir
    test_dir = Path(options.test_dir)
    if sample is None:
        beside = [test_dir / "sample_submission.csv", test_dir.parent / "sample_submission.csv"]
        sample = next((path for path in beside if path.is_file()), None)
    return sample, test_dir


def _is_mounted(options: argparse.Namespace) -> bool:
    """Whether the clips were found where Kaggle mounts a contest, and nowhere else."""
    return options.test_dir is None and Path(options.input_root) == INPUT_ROOT


def _sample_of(test_dir: Path, assets: Assets) -> Sample:
    """Rows from the folder and columns from the labels, for a folder without a sample submission."""
    names = clips.list_folder(test_dir)
    if not names:
        raise SettingsError(
            f"no sample_submission.csv was given, and {test_dir} holds no audio file. Name one of the two."
        )
    labels = dict.fromkeys(label for recipe in assets.submission.recipes for label in recipe.labels)
    return Sample("fname", tuple(labels), names)


def _started(began: float) -> float:
    """When the time limit began: with this process, if it is young enough to have been started for this run."""
    age = age_seconds()
    return time.monotonic() - age if age is not None and 0 < age < YOUNG_SECONDS else began


def _scratch_root(options: argparse.Namespace) -> Path:
    return Path(options.scratch) if options.scratch else Path(tempfile.gettempdir())


def _has_own_output() -> bool:
    """Whether a child's output lands where ours does; in a notebook it does not."""
    try:
        return sys.stdout.fileno() == 1 and sys.stderr.fileno() == 2
    except (AttributeError, OSError, ValueError):
        return False


def _progress(asked: str) -> str:
    """A bar in a terminal; plain lines in a notebook and in Kaggle's log, which keep every update of a bar for ever."""
    return "lines" if asked == "auto" and not _has_own_output() else asked


if __name__ == "__main__":
    sys.exit(main())
