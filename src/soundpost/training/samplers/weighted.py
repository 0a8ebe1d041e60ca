"""So many draws an epoch without replacement, each set's clips as likely as its weight says."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Generator, Tensor


@dataclass(frozen=True)
class WeightedSettings:
    """How likely."""

    weights: dict[str, float] = field(default_factory=lambda: {"curated": 1.0, "noisy": 0.5})  # set -> weight of a clip
    draws: int = 0  # an epoch; 0: what the weights of the clips add up to


class Weighted:
    """As many draws as the weights of all clips of the training part add up to, in whole clips of every set.

    Source: systems specification of simongrest.
    """

    Settings: ClassVar[type] = WeightedSettings

    def __init__(self, settings: WeightedSettings) -> None:
        self.settings = settings

    def __call__(self, sources: Sequence[str], targets: Tensor, generator: Generator) -> Tensor:
        """(draws,) rows, none of them twice."""
        odds = torch.tensor([self.settings.weights.get(source, 0.0) for source in sources], dtype=torch.float64)
        added = sum(int(weight * sources.count(name)) for name, weight in self.settings.weights.items())
        draws = self.settings.draws or added
        return torch.multinomial(odds, min(draws, int((odds > 0).sum())), replacement=False, generator=generator)


def draws_of_parts(counts: Sequence[int], weights: Sequence[float], part: int) -> int:
    """Draws of a part of all clips: all draws by that part's share of the clips, cut to a whole number.

    Args:
        counts: clips of each set.
        weights: what a clip of each set weighs.
        part: clips of the part, such as those of training.

    Source: systems specification of simongrest.
    """
    total = sum(int(weight * count) for weight, count in zip(weights, counts, strict=True))
    return int(total * part / sum(counts))
