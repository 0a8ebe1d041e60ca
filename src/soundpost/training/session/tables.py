"""Tables of clips as the trainer reads them: FSDKaggle2018's single csv into labels, verified or not; folds as text."""

import hashlib
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from soundpost.errors import SettingsError
from soundpost.evaluation.dataset import read_frame, truth_of
from soundpost.registry import build
from soundpost.training.clips import VALIDATED
from soundpost.training.folds import FOLDS
from soundpost.training.plan import Plan, SetSettings, strict

VERIFIED = "manually_verified"  # column of FSDKaggle2018 that tells curated clips, 1, from noisy ones, 0
NONE = "-"  # how a clip without a fold is written
IN_A_LINE = 40  # folds


def wanted(plan: Plan) -> set[str]:
    """Which csvs a plan is made of: curated, and noisy where one of its sets is."""
    return {strict(SetSettings, table, f"[sets.{name}]").of for name, table in plan.sets.items()}


def plain_csv(csv: Path, name: str, plan: Plan, folder: Path) -> Path:
    """A csv with columns fname and labels: the one that is given, or what is made of FSDKaggle2018's.

    Clips whose labels nobody verified belong to the noisy ones where a plan has any, and to the curated ones else.

    Args:
        csv: as it was found.
        name: "curated" or "noisy".
        plan: decides whether there are noisy ones.
        folder: where a table that is made is written.
    """
    frame = pd.read_csv(csv, dtype=str, keep_default_na=False)
    if "labels" in frame or "label" not in frame:
        return csv
    frame = frame.rename(columns={"label": "labels"})
    if VERIFIED in frame and wanted(plan) == {"curated", "noisy"}:
        frame = frame[frame[VERIFIED] == ("1" if name == "curated" else "0")]
    made = folder / f"{plan.name}-{name}.csv"
    folder.mkdir(parents=True, exist_ok=True)
    frame[["fname", "labels"]].to_csv(made, index=False)
    return made


def has_own_folds(plan: Plan) -> bool:
    """Whether the plan's rule for folds says more than the csv itself does."""
    return fold_rule(plan)["name"] not in ("column", "none")


def fold_rule(plan: Plan) -> dict[str, object]:
    """The table of the rule by which the curated clips are dealt."""
    own = strict(SetSettings, plan.sets[VALIDATED], f"[sets.{VALIDATED}]").folds
    return dict(own or plan.folds)


def folds_text(plan: Plan, csv: Path) -> str:
    """The folds of the curated clips of a csv, as TOML that folds_of reads.

    Args:
        plan: whose rule deals them.
        csv: with columns fname and labels.
    """
    frame = read_frame(csv)
    labels = sorted({label for row in frame["labels"] for label in row.split(",")})
    rule = build(FOLDS, str(fold_rule(plan)["name"]), fold_rule(plan), "fold rule", where="[folds]")
    column = list(frame["fold"]) if "fold" in frame else []
    folds = rule(list(frame["fname"]), truth_of(list(frame["labels"]), labels), column)
    words = [fold or NONE for fold in folds]
    lines = [" ".join(words[first : first + IN_A_LINE]) for first in range(0, len(words), IN_A_LINE)]
    head = f"# Folds of the curated clips by {fold_rule(plan)['name']}, in the order of their csv.\n"
    return f'{head}clips = {len(folds)}\nnames = "{_digest(list(frame["fname"]))}"\nfolds = """\n' + "\n".join(
        [*lines, '"""\n']
    )


def folds_of(text: str, csv: Path) -> tuple[str, ...]:
    """The folds that folds_text wrote, one for each row of a csv.

    Raises:
        SettingsError: the csv names other clips than the one that they were made of.
    """
    table = tomllib.loads(text)
    names = list(read_frame(csv)["fname"])
    if table["names"] != _digest(names):
        raise SettingsError(
            f"{csv} names other clips than the csv of which the folds were made ({len(names)} here, {table['clips']} "
            "there). Build the kernel again with --folds-from and this csv."
        )
    return tuple("" if word == NONE else word for word in table["folds"].split())


def _digest(names: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(names).encode()).hexdigest()
