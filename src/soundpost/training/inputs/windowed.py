"""Windows of spectrograms as the recipe's first view cuts them, one of each clip an epoch."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Generator

from soundpost.registry import build
from soundpost.training.batch import Batch
from soundpost.training.inputs.material import Heard, Shared
from soundpost.training.mixing import Mixing, MixSettings
from soundpost.training.plan import StageSettings, strict
from soundpost.training.samplers import SAMPLERS
from soundpost.training.windows import Part, Windows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soundpost.training.samplers.sampler import Sampler


@dataclass(frozen=True)
class WindowedSettings:
    """How long."""

    longest: int = 0  # frames; longer windows are cut to a stretch of that many, at a place drawn; 0: as the view says


class Windowed:
    """For any recipe without augmentations of its own.

    No golden case: windows are the view's, which has its own.
    """

    Settings: ClassVar[type] = WindowedSettings

    def __init__(self, settings: WindowedSettings, shared: Shared) -> None:
        self.settings = settings
        self.shared = shared

    def ready(self) -> None:
        """Make the features that all members share."""
        _ = self.shared.spectrograms

    def material(self, heard: Heard, stage: StageSettings) -> "WindowedMaterial":
        """Windows of the clips that are heard."""
        shown = [self.shared.spectrograms[row] for row in heard.rows]
        windows = Windows(shown, heard.truth, self.shared.view, self.settings.longest)
        return WindowedMaterial(windows, heard, stage, self.shared)


class WindowedMaterial:
    """Clips of about the same length together, nothing padded; partners of mixing come from the same batch."""

    def __init__(self, windows: Windows, heard: Heard, stage: StageSettings, shared: Shared) -> None:
        self.windows = windows
        self.heard = heard
        self.device = shared.device
        self.numbers = source_numbers(heard, shared)
        self.mixing = Mixing(strict(MixSettings, stage.mix or {}, "[mix]"))
        self.sampler: Sampler = sampler_of(stage)
        self.targets = torch.from_numpy(heard.truth)
        draws = len(self.sampler(heard.sources, self.targets, torch.Generator().manual_seed(0)))
        self.steps = max(1, draws // stage.batch if stage.drops_last else -(-draws // stage.batch))

    def epoch(self, epoch: int, generator: Generator) -> list[Part]:
        """Rows and windows of each batch."""
        order = self.sampler(self.heard.sources, self.targets, generator)
        return self.windows.parts(order.tolist(), self.steps, generator)

    def batch(self, step: Part, epoch: int, generator: Generator) -> Batch:
        """Windows of one length."""
        inputs, targets = self.windows.shown(step, generator)
        lengths = torch.full((len(inputs),), inputs.shape[-1])
        own = Batch(inputs.to(self.device), lengths, targets.to(self.device), self.numbers[list(step.rows)])
        if not self.mixing.happens(epoch):
            return own
        partner = own.rows(torch.randperm(len(own), generator=generator))
        return self.mixing.mixed(own, partner, self.mixing.choose(len(own), generator), generator)


def source_numbers(heard: Heard, shared: Shared) -> torch.Tensor:
    """The number of each clip's set among those of the plan, (rows,) int64."""
    names = list(shared.plan.sets)
    return torch.tensor([names.index(name) for name in heard.sources])


def sampler_of(stage: StageSettings) -> Any:
    """The stage's sampler."""
    table: Mapping[str, Any] = stage.sampler or {"name": "every_clip"}
    return build(SAMPLERS, table["name"], table, "sampler")
