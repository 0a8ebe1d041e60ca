"""Says whether a submission.csv is one that its sample asks for, and what it scores where a truth is given.

Rows, their order, columns, and every value are compared. Exit status: 0 valid, 1 not, 2 nothing that can be compared.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from soundpost.arguments import Parser
from soundpost.contest.submission import RankedSample, check, read_sample
from soundpost.ensemble.columns import contest_labels
from soundpost.ensemble.weights_folder import default_root, find_assets
from soundpost.errors import SettingsError
from soundpost.evaluation.dataset import read_labels
from soundpost.evaluation.metrics import accuracy, lwlrap, mean_average_precision

SHOWN = 20  # faults that are printed; the others are counted
VALID, NOT_VALID = 0, 1


def parser() -> Parser:
    """The options of `soundpost check`."""
    parser = Parser(prog="soundpost check", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("submission", type=Path, metavar="CSV", help="submission.csv")
    add("--sample", type=Path, required=True, metavar="CSV", help="the contest's sample_submission.csv")
    add("--truth", type=Path, metavar="CSV", help="fname,labels of clips whose labels are known: adds scores")
    add("--weights", type=Path, metavar="DIR", default=default_root(), help="whose labels a submission that names "
        "labels may use: folder of submission.toml (default: Soundpost's own)")  # fmt: skip
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Print every fault, or that there is none, and the scores.

    Returns:
        0 valid, 1 not.

    Raises:
        KitError: a sample or truth that cannot be read.
    """
    options = parser().parse_args(arguments)
    sample = read_sample(options.sample)
    if isinstance(sample, RankedSample):
        sample = read_sample(options.sample, contest_labels(find_assets(options.weights).submission.recipes))
    faults = check(options.submission, sample)
    for fault in faults[:SHOWN]:
        print(f"{options.submission}: {fault}")
    if faults:
        more = f", {len(faults) - SHOWN:,} of them not shown" if len(faults) > SHOWN else ""
        print(f"{options.submission}: not valid, {len(faults):,} faults{more}")
        return NOT_VALID
    print(f"{options.submission}: valid, {len(sample.names):,} rows, {len(sample.columns):,} labels")
    if options.truth:
        print(_score(options.submission, options.truth, sample.columns, isinstance(sample, RankedSample)))
    return VALID


def _score(submission: Path, truth: Path, columns: Sequence[str], is_ranked: bool) -> str:
    files, table = read_labels(truth, columns, {})
    frame = pd.read_csv(submission, index_col=0, dtype={0: str}, keep_default_na=False)
    there = [i for i, name in enumerate(files) if name in frame.index]
    if not there:
        raise SettingsError(f"{truth} names no clip of {submission} ({files[0]}, ...). Give the truth of these clips.")
    rows = frame.loc[[files[i] for i in there]]
    over = f"over {len(there):,} clips" + (
        f", {len(files) - len(there):,} more are in no row" * (len(there) < len(files))
    )
    if is_ranked:
        ranks = [[1.0 / (1 + named.index(c)) if c in named else 0.0 for c in columns] for named in _named(rows)]
        return f"MAP@3 {mean_average_precision(table[there], pd.DataFrame(ranks).to_numpy(), 3):.4f} {over}"
    given = rows[list(columns)].to_numpy(float)
    return f"lwlrap {lwlrap(table[there], given):.4f}, accuracy {accuracy(table[there], given):.4f} {over}"


def _named(rows: pd.DataFrame) -> list[list[str]]:
    """The labels that each row names, likeliest first."""
    return [str(cell).split(" ") for cell in rows.iloc[:, 0]]
