"""The contest as the engine works on it: clips that are rows, or stretches of recordings whose windows are rows."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from soundpost.contest.clips import Clip, find_clips, list_folder
from soundpost.contest.contest import Contest as ContestFiles
from soundpost.contest.contest import Windows, read_contest
from soundpost.contest.layout import Stretch, lay_out
from soundpost.contest.settings import ContestSettings
from soundpost.engine.contest import Contest, ContestWindows
from soundpost.engine.report import WINDOWS, Report
from soundpost.ensemble.columns import column_priors, map_all, names_of_labels
from soundpost.ensemble.recipes import Recipe, Submission
from soundpost.front_ends.row_pictures import MOST_ROWS
from soundpost.registry import settings_from
from soundpost.settings import RunSettings

Choose = Callable[[Sequence[Clip]], Sequence[Clip]]


def contest_files(settings: RunSettings, submission: Submission, recipes: Sequence[Recipe]) -> ContestFiles:
    """The contest's shape, columns and rows.

    Raises:
        SubmissionError: the sample cannot be read.
        SettingsError: [contest] has a setting that is not known.
    """
    own: ContestSettings = settings_from(ContestSettings, submission.contest, "submission.toml [contest]")
    return read_contest(Path(settings.sample_submission), Path(settings.test_dir), names_of_labels(recipes), own)


def provide_contest(
    settings: RunSettings, submission: Submission, recipes: Sequence[Recipe], report: Report, choose: Choose
) -> Contest:
    """Rows, columns and what is worked on; what is missing or in no row is reported.

    Args:
        settings: where sample and clips lie.
        submission: whose [contest] overrides what is learnt.
        recipes: those of the members.
        report: what the run tells.
        choose: the clips to work on, of all that there are.
    """
    files = contest_files(settings, submission, recipes)
    maps = map_all(recipes, files.sample.columns, files.synonyms)
    priors = column_priors(recipes, maps, len(files.sample.columns))
    if files.windows is None:
        found = find_clips(files.sample.names, Path(settings.test_dir))
        clips, windows = choose(found.clips), None
        n_files = sum(clip.path is not None for clip in found.clips)
        report.counts["audio files in no row"] += max(0, found.n_strays)
    else:
        clips, windows = _stretches(files.windows, Path(settings.test_dir), choose)
        n_files = len({stretch.file for stretch in windows.layout.stretches if stretch.file})
    report.n_clips = len(clips)
    if windows is not None:
        report.units, report.n_answers = WINDOWS, sum(len(stretch.answers) for stretch in windows.stretches)
    report.missing = {clip.name: clip.name for clip in clips if clip.path is None}
    if clips and len(report.missing) == len(clips):
        _note_nothing_found(report, clips[0].name, settings, has_windows=windows is not None)
    return Contest(files.sample, maps, priors, clips, n_files, windows)


def _note_nothing_found(report: Report, row: str, settings: RunSettings, has_windows: bool) -> None:
    """Not one row has a file: report a row and a file side by side, and whether that is a slip.

    Where clips may be hidden, a folder that is empty or that was found, and not named, is no slip: they come later. Nor
    is an empty folder where rows are windows, because the rows are then the sample's own.
    """
    folder = Path(settings.test_dir)
    stranger = next(iter(list_folder(folder)), "")
    begin = f"not one row has a file. The first row is {row!r}"
    if stranger:
        report.is_slip = settings.is_named or not settings.may_be_hidden
        advice = "Give the folder and the sample submission of one contest."
        report.warnings.append(f"{begin}, a file of the folder is {stranger!r}. {advice}")
    elif not settings.may_be_hidden and not has_windows:
        report.is_slip = True
        there = "holds no audio file" if folder.is_dir() else "is not there"
        report.warnings.append(f"{begin}, and {folder} {there}. Give the folder of the clips.")


def _stretches(windows: Windows, test_dir: Path, choose: Choose) -> tuple[Sequence[Clip], ContestWindows]:
    """The stretches of all recordings as clips, by name; those of no recording have no file."""
    layout = lay_out(windows, MOST_ROWS)
    by_clip: Mapping[str, Stretch] = {_name(stretch, windows): stretch for stretch in layout.stretches}
    seconds = {recording.name: recording.seconds for recording in windows.recordings}
    clips = [
        Clip(name, test_dir / stretch.file if stretch.file else None, _bytes(stretch, test_dir, seconds, windows))
        for name, stretch in by_clip.items()
    ]
    chosen = choose(clips)
    stretches = tuple(by_clip[clip.name] for clip in chosen)
    return chosen, ContestWindows(windows.grammar.window, layout, stretches, windows.rows.sentence())


def _name(stretch: Stretch, windows: Windows) -> str:
    """The recording's name, and from which second on where it has several stretches."""
    return f"{stretch.name} from {stretch.first * windows.grammar.window:g} s" if stretch.first else stretch.name


def _bytes(stretch: Stretch, test_dir: Path, seconds: Mapping[str, float], windows: Windows) -> int:
    """The stretch's share of its file, by which stretches are ordered and the time left is told."""
    if stretch.file is None:
        return 0
    try:
        size = (test_dir / stretch.file).stat().st_size
    except OSError:
        return 0
    length = len(stretch.answers) * windows.grammar.window
    return max(1, int(size * min(1.0, length / max(length, seconds.get(stretch.file, 0.0)))))
