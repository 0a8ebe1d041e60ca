"""Which clip belongs to which fold, as simongrest and filipmu decided it."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import ClassVar

import numpy as np

from soundpost.training.folds.fold_rule import named


def fold_of_name(name: str, folds: int) -> int:
    """The fold of a clip from its name alone, without its folder and its last suffix; simongrest's rule.

    The name's bytes seed Python's generator, whose first choice among the folds is taken. Its state elsewhere in the
    program stays as it is.
    """
    generator = random.Random()
    generator.seed(PurePosixPath(name).stem.encode(), version=2)
    return generator.choice(range(folds))


def held_out(clips: int, fraction: float, seed: int) -> np.ndarray:
    """Indices of the validation clips, (int(fraction * clips),): a seeded permutation's first; fastai v1's rule."""
    return np.random.RandomState(seed).permutation(clips)[: int(fraction * clips)]


@dataclass(frozen=True)
class OfNameSettings:
    """How many."""

    count: int = 6


class OfName:
    """Every clip's fold from its name alone, in whatever table it stands.

    Source: systems specification of simongrest.
    """

    Settings: ClassVar[type] = OfNameSettings

    def __init__(self, settings: OfNameSettings) -> None:
        self.settings = settings

    def __call__(self, files: Sequence[str], truth: np.ndarray, column: Sequence[str]) -> tuple[str, ...]:
        """Folds named 0, 1, ..."""
        return tuple(str(fold_of_name(file, self.settings.count)) for file in files)


@dataclass(frozen=True)
class HeldOutSettings:
    """How much, and by which chance."""

    fraction: float = 0.2
    seed: int = 42


class HeldOut:
    """One fold, the rest is heard.

    Source: systems specification of filipmu.
    """

    Settings: ClassVar[type] = HeldOutSettings

    def __init__(self, settings: HeldOutSettings) -> None:
        self.settings = settings

    def __call__(self, files: Sequence[str], truth: np.ndarray, column: Sequence[str]) -> tuple[str, ...]:
        """Fold 0 is held out, the other clips belong to none."""
        return named([held_out(len(files), self.settings.fraction, self.settings.seed)], len(files))
