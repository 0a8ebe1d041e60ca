"""Turns an archive's probabilities into labels to train on: a csv in the layout of FSDKaggle2019's train_noisy.csv.

Columns are fname and labels, the labels joined by commas, and beside them scores, the probability of each, for whoever
trains on soft labels. Rows that are stretches of files say so in the columns start and end.
"""

import argparse
import csv
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset

from soundpost.archive import addresses
from soundpost.archive.table import TOP_LABELS, labels_of
from soundpost.arguments import Parser
from soundpost.errors import SettingsError
from soundpost.exit_status import STATUS_NOTHING, STATUS_OK

FEW_ROWS = 10_000  # rows in memory together


@dataclass(frozen=True)
class Rule:
    """Which labels a row gets; one that gets none is left out."""

    threshold: float = 0.0  # least probability
    top: int = 0  # labels of a row, the likeliest first, at most; 0: any number

    def labels(self, scored: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
        """Those that the rule takes, likeliest first."""
        best = sorted((one for one in scored if one[1] >= self.threshold), key=lambda one: -one[1])
        return best[: self.top or None]


def parse_rule(text: str) -> Rule:
    """A rule as a person writes it: "threshold=0.8", "top=1", or both: "top=2,threshold=0.5".

    Raises:
        SettingsError: anything else.
    """
    found: dict[str, str] = dict(part.strip().partition("=")[::2] for part in text.split(","))
    with suppress(ValueError):
        rule = Rule(float(found.pop("threshold", 0.0)), int(found.pop("top", 0)))
        if not found and 0 <= rule.threshold <= 1 and rule.top >= 0 and (rule.threshold or rule.top):
            return rule
    raise SettingsError(f"--rule {text!r} is not understood. Write threshold=0.8, top=1, or top=2,threshold=0.5.")


def parser() -> Parser:
    """The options of `soundpost pseudo-label`."""
    parser = Parser(
        prog="soundpost pseudo-label", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("tags", metavar="TAGS.parquet", help="what soundpost tag --out wrote")
    add("--rule", required=True, metavar="RULE", help="threshold=0.8, top=1, or both with a comma between")
    add("--out", type=Path, default=Path("train_noisy.csv"), metavar="FILE", help="(default: train_noisy.csv)")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Label what the command line names.

    Returns:
        0; 3 when the rule takes nothing.

    Raises:
        SettingsError: a rule, an archive or a file that cannot be used.
    """
    options = parser().parse_args(arguments)
    rule = parse_rule(options.rule)
    data = _opened(options.tags)
    aside = options.out.with_name(options.out.name + ".part")
    try:
        with aside.open("w", encoding="utf-8", newline="") as file:
            kept, rows = _write(file, data, labels_of(data.schema, options.tags), rule)
        aside.replace(options.out)
    except OSError as error:
        raise SettingsError(f"{options.out}: cannot be written ({error.strerror}). Name another --out.") from error
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
    print(f"{options.out}: {kept:,} of {rows:,} rows have labels")
    return STATUS_OK if kept else STATUS_NOTHING


def _opened(tags: str) -> Any:
    system, path = addresses.system_of(tags) if addresses.is_remote(tags) else (None, tags)
    try:
        return pyarrow.dataset.dataset(path, format="parquet", filesystem=system)
    except (OSError, pa.ArrowInvalid) as error:
        raise SettingsError(f"{tags} is no archive ({error}). Name the --out of soundpost tag.") from error


def _write(file: Any, data: Any, labels: Sequence[str], rule: Rule) -> tuple[int, int]:
    """Rows with labels, and all rows."""
    writer = csv.writer(file, lineterminator="\n")
    has_stretches = data.count_rows(filter=pyarrow.dataset.field("end").is_valid()) > 0
    writer.writerow(["fname", "labels", "scores", *(["start", "end"] if has_stretches else [])])
    kept = rows = 0
    for row in _rows(data):
        rows += 1
        taken = rule.labels(_scored(row, labels))
        if not taken:
            continue
        kept += 1
        names = [name for name, _ in taken]
        if commas := [name for name in names if "," in name]:
            raise SettingsError(f"label {commas[0]!r} has a comma, which is what stands between labels. Rename it.")
        scores = ",".join(f"{score:.6g}" for _, score in taken)
        stretch = [row["start"] or 0.0, row["end"]] if has_stretches else []
        writer.writerow([row["id"].partition("#t=")[0], ",".join(names), scores, *stretch])
    return kept, rows


def _rows(data: Any) -> Iterator[dict[str, Any]]:
    columns = [name for name in data.schema.names if name != "embedding"]
    for batch in data.to_batches(columns=columns, batch_size=FEW_ROWS):
        yield from batch.to_pylist()


def _scored(row: dict[str, Any], labels: Sequence[str]) -> list[tuple[str, float]]:
    """Labels of a row with their probabilities; none where it could not be read."""
    if TOP_LABELS in row:
        return list(zip(row[TOP_LABELS] or (), row["top_scores"] or (), strict=True))
    return [(label, row[label]) for label in labels if row[label] is not None]
