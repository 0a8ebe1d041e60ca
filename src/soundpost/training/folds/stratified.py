"""Folds by iterative-stratification, which is looked for only when it is asked for; Kaggle's image has it not."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from soundpost.errors import SettingsError
from soundpost.training.folds.fold_rule import named


@dataclass(frozen=True)
class MultilabelStratifiedSettings:
    """How many, and by which chance, which decides ties although nothing is shuffled."""

    count: int = 5
    seed: int = 42
    shuffled: bool = True
    is_reversed: bool = False  # as one published trainer counted: its model 0 is deaf to the last fold


class MultilabelStratified:
    """Folds in which every label is as frequent as overall; Sechidis et al. 2011.

    Sources: systems specifications of ex4sperans (5, shuffled, 42) and qrfaction (10, not shuffled, 66666).
    """

    Settings: ClassVar[type] = MultilabelStratifiedSettings

    def __init__(self, settings: MultilabelStratifiedSettings) -> None:
        self.settings = settings

    def __call__(self, files: Sequence[str], truth: np.ndarray, column: Sequence[str]) -> tuple[str, ...]:
        """Folds named 0, 1, ...

        Raises:
            SettingsError: iterative-stratification is not installed.
        """
        try:
            from iterstrat.ml_stratifiers import MultilabelStratifiedKFold
        except ImportError as error:
            raise SettingsError(
                "[folds] multilabel_stratified needs iterative-stratification: pip install 'soundpost[train]'. "
                "Without it give folds as a column of the csv."
            ) from error
        chosen = self.settings
        # A seed without shuffling is refused by the constructor, and decides ties all the same.
        folds = MultilabelStratifiedKFold(n_splits=chosen.count, shuffle=True, random_state=chosen.seed)
        folds.shuffle = chosen.shuffled
        rows = [held_out for _, held_out in folds.split(np.zeros(len(truth)), truth)]
        return named(rows[::-1] if chosen.is_reversed else rows, len(truth))
