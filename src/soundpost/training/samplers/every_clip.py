"""Every clip once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor


@dataclass(frozen=True)
class EveryClipSettings:
    """Nothing is left to choose."""


class EveryClip:
    """All clips in a new order in every epoch; most systems' way.

    No golden case: a permutation has none.
    """

    Settings: ClassVar[type] = EveryClipSettings

    def __init__(self, settings: EveryClipSettings) -> None:
        self.settings = settings

    def __call__(self, sources: Sequence[str], targets: Tensor, generator: Generator) -> Tensor:
        """(clips,) rows."""
        return torch.randperm(len(sources), generator=generator)
