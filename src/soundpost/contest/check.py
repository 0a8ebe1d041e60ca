"""Would Kaggle take this submission.csv? Its own names for what it refuses, and warnings for what it would not say."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from soundpost.contest.cells import read_cells
from soundpost.contest.contest import Contest, read_contest
from soundpost.contest.settings import ContestSettings
from soundpost.contest.submission import Sample
from soundpost.errors import SubmissionError

NOT_FOUND = "Submission CSV Not Found"
SCORING_ERROR = "Submission Scoring Error"
SHOWN = 5  # names in a message


@dataclass(frozen=True)
class Verdict:
    """What is wrong with a submission, in sentences."""

    refusals: tuple[str, ...]  # each begins with Kaggle's own name for it
    warnings: tuple[str, ...] = ()
    shape: str = ""  # the contest's, a name in soundpost.contest.shapes; empty where the file could not be read

    @property
    def is_valid(self) -> bool:
        """Whether Kaggle would score it."""
        return not self.refusals


def check_submission(
    path: Path,
    sample_path: Path,
    test_dir: Path,
    settings: ContestSettings | None = None,
    labels: Sequence[str] = (),
) -> Verdict:
    """Whether a submission has the rows, columns and kinds of values that the contest asks for.

    Args:
        path: submission.csv.
        sample_path: the contest's sample submission.
        test_dir: folder of the recordings or clips.
        settings: [contest] of submission.toml.
        labels: the classes that a list of labels may name; those that it does name where none are given.

    Raises:
        SubmissionError: the sample itself cannot be read.
    """
    if not path.is_file():
        return Verdict((f"{NOT_FOUND}: there is no {path}. Look for what ended the run before it was written.",))
    try:
        lines = read_cells(path)
    except SubmissionError as error:
        return Verdict((f"{SCORING_ERROR}: {error}",))
    known = labels or tuple(sorted({word for line in lines[1:] for word in " ".join(line[1:]).split()}))
    contest = read_contest(sample_path, test_dir, known, settings or ContestSettings())
    refusals = [f"{SCORING_ERROR}: {text}" for text in _faults(lines, contest.sample)]
    if _has_carriage_returns(path):
        refusals.append(f"{SCORING_ERROR}: lines end in carriage returns. Write them with newlines alone.")
    return Verdict(tuple(refusals), tuple(_warnings(lines, contest)), contest.shape)


def _faults(lines: Sequence[Sequence[str]], sample: Sample) -> list[str]:
    header = tuple(lines[0]) if lines else ()
    found = []
    if header != sample.header:
        missing = [name for name in sample.header if name not in header]
        more = [name for name in header if name not in sample.header]
        found.append(
            f"columns differ: missing {_some(missing)}, not asked for {_some(more)}, or in another order. "
            "Write the sample's header as it stands."
        )
    ids = [line[0] for line in lines[1:]]
    wanted, given = set(sample.line_names), set(ids)
    if len(given) < len(ids):
        found.append(f"{len(ids) - len(given):,} rows stand twice. Write each row once.")
    missing_rows = [name for name in sample.line_names if name not in given]
    if missing_rows:
        found.append(f"{len(missing_rows):,} rows are missing: {_some(missing_rows)}. Write every row of the contest.")
    more_rows = [name for name in ids if name not in wanted]
    if more_rows:
        found.append(f"{len(more_rows):,} rows are not asked for: {_some(more_rows)}. Leave them out.")
    bad = [(line[0], fault) for line in lines[1:] if (fault := sample.fault(line[1:]))]
    if bad:
        found.append(f"{len(bad):,} rows hold what cannot be scored, the first {bad[0][0]}: {bad[0][1]}. Correct them.")
    return found


def _warnings(lines: Sequence[Sequence[str]], contest: Contest) -> list[str]:
    """What Kaggle would score without a word: columns in which every row says the same."""
    rows = [line for line in lines[1:] if len(line) == len(lines[0])]
    if len(rows) < 2 or len(contest.sample.header) < 3:
        return []
    constant = [name for place, name in enumerate(lines[0]) if place and len({row[place] for row in rows}) == 1]
    if not constant:
        return []
    return [
        f"{len(constant):,} of {len(lines[0]) - 1:,} columns say the same in every row: {_some(constant)}. "
        "A ranking of rows scores each of them 0.5; see whether the labels of the weights are those of the columns."
    ]


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return (", ".join(names[:SHOWN]) or "none") + more


def _has_carriage_returns(path: Path) -> bool:
    with path.open("rb") as file:
        return any(b"\r" in block for block in iter(lambda: file.read(1 << 20), b""))
