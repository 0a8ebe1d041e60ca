"""Folds that the csv gives, folds dealt by rarest label, and no folds at all."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from soundpost.errors import SettingsError
from soundpost.evaluation.dataset import deal


@dataclass(frozen=True)
class ColumnSettings:
    """Nothing is left to choose."""


class Column:
    """The csv's own column "fold".

    No golden case: there is nothing to compute.
    """

    Settings: ClassVar[type] = ColumnSettings

    def __init__(self, settings: ColumnSettings) -> None:
        self.settings = settings

    def __call__(self, files: Sequence[str], truth: np.ndarray, column: Sequence[str]) -> tuple[str, ...]:
        """As the csv says."""
        if not column:
            raise SettingsError("the csv has no column fold. Add it, or choose another rule in [folds], such as deal.")
        return tuple(column)


@dataclass(frozen=True)
class DealSettings:
    """How many, and by which chance."""

    count: int = 5
    seed: int = 0


class Deal:
    """Folds that share every label set out evenly: clips shuffled, sorted by rarest label, dealt like cards.

    No published system did it; the compact network's csv may be dealt so.

    No golden case: it is our own.
    """

    Settings: ClassVar[type] = DealSettings

    def __init__(self, settings: DealSettings) -> None:
        self.settings = settings

    def __call__(self, files: Sequence[str], truth: np.ndarray, column: Sequence[str]) -> tuple[str, ...]:
        """Folds named 1, 2, ..."""
        return deal(truth, self.settings.count, self.settings.seed)


@dataclass(frozen=True)
class NoFoldSettings:
    """What the only member is called."""

    name: str = "all"


class NoFold:
    """One member that hears every clip; no score can be told from clips that it has heard.

    Source: systems specification of ERC2019, whose networks were trained on all clips.

    No golden case: there is nothing to compute.
    """

    Settings: ClassVar[type] = NoFoldSettings

    def __init__(self, settings: NoFoldSettings) -> None:
        self.settings = settings

    def __call__(self, files: Sequence[str], truth: np.ndarray, column: Sequence[str]) -> tuple[str, ...]:
        """No clip belongs to a fold."""
        return ("",) * len(files)
