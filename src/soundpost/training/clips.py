"""The clips of a plan: every set's files, labels and folds, and who hears them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from soundpost.errors import SettingsError
from soundpost.evaluation.dataset import Table, labels_in, missing_files, read_frame, seconds_in, truth_of
from soundpost.registry import build
from soundpost.training.folds import FOLDS
from soundpost.training.plan import Plan, SetSettings, strict
from soundpost.training.sets import SETS
from soundpost.training.soft_labels import read_extras, soft_truth

HEARD = ("other_folds", "own_fold", "all")
VALIDATED = "curated"  # the set whose folds are held out


@dataclass(frozen=True)
class Source:
    """A csv and the folder of its clips."""

    csv: Path
    folder: Path
    folds: tuple[str, ...] | None = None  # one for each row, where they are known and no rule has to be asked


@dataclass(frozen=True)
class Clips:
    """All clips of all sets, those of the first set first."""

    paths: tuple[Path, ...]
    copies: tuple[str, ...]  # which copy of the file it is, "": the file itself
    sources: tuple[str, ...]  # name of the set of each clip
    labels: tuple[str, ...]
    truth: np.ndarray  # (clips, classes) float32 in [0, 1]
    folds: tuple[str, ...]
    heard: Mapping[str, str]  # set -> one of HEARD
    files: tuple[str, ...]
    # Begin and length in seconds of each clip within its file, None: all of it; empty where no csv says so.
    stretches: tuple[tuple[float, float] | None, ...] = ()

    @cached_property
    def table(self) -> Table:
        """The clips that are scored: the curated set's own, without copies."""
        rows = self.scored
        return Table(
            tuple(self.files[row] for row in rows),
            self.labels,
            self.truth[rows],
            tuple(self.folds[row] for row in rows),
        )

    def summary(self) -> str:
        """What there is to learn from in one line, with what is beside the clips that are scored."""
        others = Counter(name for name, copy in zip(self.sources, self.copies, strict=True) if not copy)
        del others[VALIDATED]
        more = [
            f"; {count} {name} clips beside them, {seconds_in([self.paths[row] for row in self._rows_of(name)])}"
            for name, count in others.items()
        ]
        return self.table.summary([self.paths[row] for row in self.scored]) + "".join(more)

    def _rows_of(self, source: str) -> list[int]:
        """Rows of a set's own clips."""
        return [row for row, name in enumerate(self.sources) if name == source and not self.copies[row]]

    @cached_property
    def _places(self) -> list[Path]:
        """Where each file lies, however it was named."""
        return [path.resolve() for path in self.paths]

    @cached_property
    def scored(self) -> list[int]:
        """Rows of the curated set's own clips."""
        return self._rows_of(VALIDATED)

    def heard_by(self, fold: str, sets: Sequence[str] = ()) -> list[int]:
        """Rows that the member of a fold may hear, of some sets or all.

        A file that is held out is not heard under the name of another set either.
        """
        held_out = {self._places[row] for row in self.scored if self.folds[row] == fold}
        rows = []
        for row, name in enumerate(self.sources):
            rule, own = self.heard[name], self.folds[row] == fold
            wanted = rule == "all" or (rule == "other_folds" and not own) or (rule == "own_fold" and own)
            if wanted and (not sets or name in sets) and self._places[row] not in held_out:
                rows.append(row)
        return rows


def read_clips(plan: Plan, given: Mapping[str, Source], folder: Path) -> Clips:
    """The clips of a plan's sets.

    Args:
        plan: whose sets and folds are meant.
        given: "curated" and, where the plan has it, "noisy" of the command line.
        folder: the plan's, where its maps of corrections lie.

    Raises:
        SettingsError: a set without a csv, a label that the curated set does not have, clips that are not there.
    """
    if VALIDATED not in plan.sets:
        raise SettingsError(f"plan {plan.name}: no [sets.{VALIDATED}]. Its clips are those that are scored; add it.")
    frames = {
        name: read_extras(read_frame(source.csv, name != VALIDATED), source.csv) for name, source in given.items()
    }
    if (known := frames.get(VALIDATED)) is not None and known["likely"].notna().any():
        raise SettingsError(f"{given[VALIDATED].csv}: a column scores. Curated labels are certain; give it as --noisy.")
    for name, source in given.items():
        missing_files(source.folder, list(dict.fromkeys(frames[name]["fname"])))
    parts: list[pd.DataFrame] = []
    heard = {}
    ordered = [VALIDATED, *(name for name in plan.sets if name != VALIDATED)]
    for name in ordered:
        settings = strict(SetSettings, plan.sets[name], f"[sets.{name}]")
        if settings.heard not in HEARD:
            raise SettingsError(f"[sets.{name}] heard = '{settings.heard}'; known: {', '.join(HEARD)}. Correct it.")
        if settings.of not in frames:
            raise SettingsError(
                f"[sets.{name}] is made of the {settings.of} clips. Give --{settings.of} CSV:DIR, or another plan."
            )
        heard[name] = settings.heard
        parts.append(_part(plan, name, settings, frames[settings.of], given[settings.of], folder))
    labels = labels_in(list(frames[given_name(plan)]["labels"]))
    whole = pd.concat(parts, ignore_index=True)
    if strange := sorted(set(labels_in(list(whole["labels"]))) - set(labels)):
        raise SettingsError(
            f"labels {', '.join(strange)} of a noisy or corrected set; curated clips have none of them."
        )
    return Clips(
        tuple(whole["path"]),
        tuple(whole["copy"]),
        tuple(whole["source"]),
        labels,
        soft_truth(list(whole["labels"]), labels, list(whole["likely"])),
        tuple(whole["assigned"]),
        heard,
        tuple(whole["fname"]),
        tuple(whole["stretch"]) if whole["stretch"].notna().any() else (),
    )


def given_name(plan: Plan) -> str:
    """Which of the command line's csvs names the classes."""
    return strict(SetSettings, plan.sets[VALIDATED], "").of


def _part(
    plan: Plan, name: str, settings: SetSettings, frame: pd.DataFrame, source: Source, folder: Path
) -> pd.DataFrame:
    """One set's rows with path, copy, source and assigned fold."""
    labels = labels_in(list(frame["labels"]))
    table = settings.folds or (plan.folds if name == VALIDATED else {"name": "none"})
    folds = source.folds if name == VALIDATED else None
    if folds is None:
        rule = build(FOLDS, table["name"], table, "fold rule", where=f"[sets.{name}] folds")
        column = list(frame["fold"]) if "fold" in frame else []
        # Folds are of the table as given, so that corrections move no clip from one fold to another.
        folds = rule(list(frame["fname"]), truth_of(list(frame["labels"]), labels), column)
    part = frame.assign(assigned=list(folds), copy="", given=frame["labels"])
    for one in settings.rules:
        part = build(SETS, one["name"], one, "set", where=f"[sets.{name}] rules")(part, folder)
    # What a map of corrections has said is certain.
    is_soft = settings.soft & (part["labels"] == part["given"])
    likely = [scores if soft else None for scores, soft in zip(part["likely"], is_soft, strict=True)]
    paths = [source.folder / file for file in part["fname"]]
    return part.assign(likely=pd.Series(likely, part.index, object), source=name, path=paths)
