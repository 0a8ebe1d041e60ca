"""A contest as one run meets it: the submission to write, and where its rows lie in the recordings of the folder."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from soundpost.contest.grammar import WINDOW_SECONDS, Grammar, is_multiple, learn
from soundpost.contest.look import Look, look_at
from soundpost.contest.recordings import Length, header_length, list_recordings
from soundpost.contest.rows import Recording, Row, Rows, find_rows
from soundpost.contest.settings import ContestSettings
from soundpost.contest.shapes import SHAPES
from soundpost.contest.shapes.shape import Shape
from soundpost.contest.shapes.window_booleans import window_key
from soundpost.contest.submission import Sample
from soundpost.contest.taxonomy import columns_of_labels
from soundpost.errors import SettingsError, SubmissionError


@dataclass(frozen=True)
class Windows:
    """The rows of a submission that are windows of recordings."""

    grammar: Grammar
    rows: Rows
    places: tuple[Row, ...]  # for each of the sample's names: its recording, start and end
    recordings: tuple[Recording, ...]  # what lies in the folder, by name


@dataclass(frozen=True)
class Contest:
    """What to write, and, where rows are windows, which window each row is."""

    shape: str  # a name in SHAPES
    sample: Sample
    windows: Windows | None = None  # None: rows are clips
    synonyms: Mapping[str, str] = field(default_factory=dict)  # label -> its column, as a taxonomy tells


def read_contest(
    sample_path: Path,
    test_dir: Path,
    labels: Mapping[str, str] | Sequence[str],
    settings: ContestSettings,
    length: Length = header_length,
) -> Contest:
    """The contest's shape, columns and rows.

    Args:
        sample_path: sample_submission.csv.
        test_dir: folder of the recordings or clips; it may be empty or absent.
        labels: the classes that there are, for samples that do not name them; a table gives each one's alias, by
            which it is called in a ranked submission, and in lists of labels whose sample says it.
        settings: [contest] of submission.toml.
        length: how long a recording is; asked only where rows are windows.

    Raises:
        SubmissionError: the sample cannot be read, or does not fit the shape that is asked for.
        SettingsError: [contest] names a shape that is not known.
    """
    look = look_at(sample_path, sample_path.parent / settings.table if settings.table else None)
    name, shape = shape_of(look, settings)
    aliases = labels if isinstance(labels, Mapping) else {label: label for label in labels}
    synonyms = columns_of_labels(sample_path, shape.asked(look), list(aliases))
    if not shape.has_windows:
        return Contest(name, shape.sample(look, settings, (), unique(aliases.values())), None, synonyms)
    grammar = grammar_of(look, settings)
    recordings = list_recordings(test_dir, length)
    rows = find_rows(look.names, grammar, recordings, look.table)
    said = {word for answer in look.answers for word in answer.split()}
    named = unique(
        alias if alias in said else synonyms.get(label, label) if shape.asked(look) is None else label
        for label, alias in aliases.items()
    )
    sample = shape.sample(look, settings, rows.rows, named)
    return Contest(name, sample, Windows(grammar, rows, places(sample, rows), recordings), synonyms)


def unique(names: Iterable[str]) -> tuple[str, ...]:
    """The names, each once, in their order."""
    return tuple(dict.fromkeys(names))


def shape_of(look: Look, settings: ContestSettings) -> tuple[str, type[Shape]]:
    """The shape that [contest] names, or the first one that fits."""
    if settings.shape:
        if settings.shape not in SHAPES:
            known = ", ".join(SHAPES)
            raise SettingsError(f"contest shape '{settings.shape}' is not known; known: {known}. Correct [contest].")
        return settings.shape, SHAPES[settings.shape]
    for name, shape in SHAPES.items():
        if shape.fits(look, settings):
            return name, shape
    raise SubmissionError(f"{look.path} has no known shape: {', '.join(SHAPES)}. Name one in [contest].")


def grammar_of(look: Look, settings: ContestSettings) -> Grammar:
    """The grammar of the rows: what [contest] says, else the table's ends, else the sample's own rows."""
    if look.table is not None:
        ends = sorted({row.end for row in look.table if row.end is not None})
        steps = [step for step in ends[:1] if step > 0 and all(is_multiple(end, step) for end in ends)]
        window = settings.window_seconds or next(iter(steps), WINDOW_SECONDS)
        return Grammar(settings.separator or "_", window)
    learnt = learn(look.names, settings.window_seconds, settings.separator)
    return learnt or Grammar(settings.separator or "_", settings.window_seconds or WINDOW_SECONDS)


def places(sample: Sample, rows: Rows) -> tuple[Row, ...]:
    """For each row of a sample's names, the window that it is; rows that ask about one window share it."""
    if len(sample.names) == len(rows.rows):
        return rows.rows
    first: dict[tuple[str, float | None], Row] = {}
    for row in rows.rows:
        first.setdefault(window_key(row), row)
    if len(first) != len(sample.names):
        raise SubmissionError(
            f"{len(rows.rows):,} rows ask about {len(first):,} windows and the submission has {len(sample.names):,}. "
            "Report this as a defect."
        )
    return tuple(first.values())


def usual_seconds(recordings: Sequence[Recording]) -> float:
    """The commonest length of a folder's recordings in whole seconds; 0 without one that can be read."""
    counts = Counter(round(recording.seconds) for recording in recordings if recording.samples)
    return float(max(counts, key=lambda seconds: (counts[seconds], seconds))) if counts else 0.0
