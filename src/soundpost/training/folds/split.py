"""Folds by scikit-learn, which is looked for only when it is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from soundpost.errors import SettingsError
from soundpost.training.folds.fold_rule import named


@dataclass(frozen=True)
class KFoldSettings:
    """How many, and by which chance."""

    count: int = 5
    seed: int = 42


class KFold:
    """Rows shuffled and cut, whatever their labels.

    Sources: systems specifications of argus and ex4sperans (its noisy clips).
    """

    Settings: ClassVar[type] = KFoldSettings

    def __init__(self, settings: KFoldSettings) -> None:
        self.settings = settings

    def __call__(self, files: Sequence[str], truth: np.ndarray, column: Sequence[str]) -> tuple[str, ...]:
        """Folds named 0, 1, ..."""
        return named(kfold_rows(len(files), self.settings.count, self.settings.seed), len(files))


def kfold_rows(clips: int, count: int, seed: int) -> list[np.ndarray]:
    """Rows that each of count folds holds out.

    Raises:
        SettingsError: scikit-learn is not installed.
    """
    try:
        from sklearn import model_selection
    except ImportError as error:
        raise SettingsError("[folds] kfold needs scikit-learn: pip install 'soundpost[train]'.") from error
    folds = model_selection.KFold(count, shuffle=True, random_state=seed).split(np.zeros(clips))
    return [held_out for _, held_out in folds]
