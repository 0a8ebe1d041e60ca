"""As many draws as there are clips, of every class about as many, with replacement."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor


@dataclass(frozen=True)
class ClassBalancedSettings:
    """Nothing is left to choose."""


class ClassBalanced:
    """A clip is as likely as its rarest class is rare.

    No golden case: it is our own.
    """

    Settings: ClassVar[type] = ClassBalancedSettings

    def __init__(self, settings: ClassBalancedSettings) -> None:
        self.settings = settings

    def __call__(self, sources: Sequence[str], targets: Tensor, generator: Generator) -> Tensor:
        """(clips,) rows."""
        rarity = (targets > 0) / targets.gt(0).sum(0).clamp(min=1)
        return torch.multinomial(rarity.amax(1), len(sources), replacement=True, generator=generator)
