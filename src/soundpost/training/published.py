"""Which clip belongs to which fold, as published systems decided it."""

import random
from pathlib import PurePosixPath

import numpy as np


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
