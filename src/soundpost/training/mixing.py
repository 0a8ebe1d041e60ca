"""Which clips of a batch are mixed, by which of several mixers, and with whom."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Generator, Tensor

from soundpost.errors import SettingsError
from soundpost.registry import build
from soundpost.training import draws
from soundpost.training.batch import Batch
from soundpost.training.mixers import MIXERS

if TYPE_CHECKING:
    from soundpost.training.mixers.mixer import Mixer

PARTNERS = ("same_batch", "same_source", "anyone")


@dataclass(frozen=True)
class MixSettings:
    """How often, with whom and how."""

    probability: float = 1.0  # how likely a clip is mixed, or a batch where whole_batches
    partner: str = "same_batch"  # another row of the batch; or drawn afresh: "same_source", or "anyone" at all
    whole_batches: bool = False  # all clips of a batch are mixed, or none
    off_from: int = 0  # epoch from which nothing is mixed; 0: never
    one_of: tuple[Mapping[str, Any], ...] = field(default=())  # tables of mixers, each with a name and a weight


class Mixing:
    """Several mixers with their odds; every clip meets one of them or none."""

    def __init__(self, settings: MixSettings) -> None:
        if settings.partner not in PARTNERS:
            raise SettingsError(f"[mix] partner = '{settings.partner}'; known: {', '.join(PARTNERS)}. Correct it.")
        self.settings = settings
        tables = [{key: value for key, value in table.items() if key != "weight"} for table in settings.one_of]
        self.mixers: list[Mixer] = [build(MIXERS, table["name"], table, "mixer", where="[mix]") for table in tables]
        self._odds = torch.tensor([float(table.get("weight", 1.0)) for table in settings.one_of])

    def happens(self, epoch: int) -> bool:
        """Whether anything is mixed in that epoch of a stage."""
        return bool(self.mixers) and (not self.settings.off_from or epoch < self.settings.off_from)

    def choose(self, count: int, generator: Generator) -> Tensor:
        """The number of each clip's mixer, -1: none. (count,) int64."""
        size = 1 if self.settings.whole_batches else count
        happens = draws.chance(size, self.settings.probability, generator).expand(count)
        chosen = torch.multinomial(self._odds, size, replacement=True, generator=generator).expand(count)
        return torch.where(happens, chosen, -1)

    def mixed(self, own: Batch, partner: Batch, chosen: Tensor, generator: Generator) -> Batch:
        """The batch in which each clip has met its mixer."""
        for number, mixer in enumerate(self.mixers):
            rows = torch.nonzero(chosen == number)[:, 0]
            if len(rows):
                some, others = own.rows(rows), partner.rows(rows)
                own = _put(own, rows, mixer.apply(some, others, mixer.draw(some, others, generator)))
        return own


def _put(batch: Batch, rows: Tensor, part: Batch) -> Batch:
    """The batch with some of its rows replaced, as long as its longest clip."""
    size = max(batch.inputs.shape[-1], part.inputs.shape[-1])
    inputs = torch.nn.functional.pad(batch.inputs, (0, size - batch.inputs.shape[-1])).clone()
    there = rows.to(inputs.device)
    inputs[there] = torch.nn.functional.pad(part.inputs, (0, size - part.inputs.shape[-1]))
    lengths, targets = batch.lengths.clone(), batch.targets.clone()
    lengths[rows], targets[there] = part.lengths, part.targets
    return Batch(inputs, lengths, targets, batch.sources)
