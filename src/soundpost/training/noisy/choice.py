"""A table of `select`: a rule of NOISY, and how much of what it finds one member hears."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from soundpost.errors import SettingsError
from soundpost.registry import build
from soundpost.training.folds.split import kfold_rows
from soundpost.training.noisy import NOISY
from soundpost.training.noisy.selection import Heard, NoisyRule, Selection

PARTS_SEED = 42  # as published


class ChoiceOfNoisy:
    """A rule and, where the table says `parts`, the part of its finds that belongs to a fold.

    Args:
        table: name and settings of the rule; parts and parts_seed beside them.
        where: for messages.

    Source of the parts: systems specification of ex4sperans.
    """

    def __init__(self, table: Mapping[str, Any], where: str) -> None:
        own = {key: value for key, value in table.items() if key not in ("parts", "parts_seed")}
        self.rule: NoisyRule = build(NOISY, table["name"], own, "rule for noisy clips", where=where)
        self.parts, self.seed = int(table.get("parts", 0)), int(table.get("parts_seed", PARTS_SEED))
        if self.parts < 0 or self.parts == 1:
            raise SettingsError(f"{where}: parts = {self.parts}. Give 2 at least, or leave it out.")

    def __call__(self, truth: np.ndarray, answers: np.ndarray, heard: Heard, fold: int) -> Selection:
        """What a member hears of noisy clips, by their labels and its answers; see NoisyRule.

        Args:
            truth: labels of the noisy clips, (clips, classes).
            answers: to them, (clips, classes).
            heard: truth and answers of the curated clips that the member hears.
            fold: number of its fold among all.

        Raises:
            SettingsError: fewer clips than parts.
        """
        found = self.rule(truth, answers, heard)
        if not self.parts:
            return found
        if len(found.rows) < self.parts:
            raise SettingsError(f"{len(found.rows)} noisy clips were selected, which are not {self.parts} parts.")
        own = np.sort(kfold_rows(len(found.rows), self.parts, self.seed)[fold % self.parts])
        return Selection(found.rows[own], found.truth[own])
