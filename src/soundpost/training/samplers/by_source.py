"""So many draws an epoch, each from a set by its probability, with replacement."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Generator, Tensor

from soundpost.errors import SettingsError


@dataclass(frozen=True)
class BySourceSettings:
    """How many and from where."""

    draws: int = 32768
    shares: dict[str, float] = field(default_factory=lambda: {"curated": 1.0})  # set -> probability


class BySource:
    """First the set, then a clip of it, all of them equally likely.

    Source: systems specification of argus.
    """

    Settings: ClassVar[type] = BySourceSettings

    def __init__(self, settings: BySourceSettings) -> None:
        self.settings = settings

    def __call__(self, sources: Sequence[str], targets: Tensor, generator: Generator) -> Tensor:
        """(draws,) rows.

        Raises:
            SettingsError: a set that has a share and no clip.
        """
        rows = {name: [row for row, source in enumerate(sources) if source == name] for name in self.settings.shares}
        if empty := sorted(name for name, share in self.settings.shares.items() if share and not rows[name]):
            raise SettingsError(
                f"[sampler] shares: no clip of {', '.join(empty)}; there are {', '.join(sorted(set(sources)))}. "
                "Give that set, or take its share away."
            )
        odds = torch.zeros(len(sources), dtype=torch.float64)
        for name, share in self.settings.shares.items():
            odds[rows[name]] = share / max(1, len(rows[name]))
        return torch.multinomial(odds, self.settings.draws, replacement=True, generator=generator)
