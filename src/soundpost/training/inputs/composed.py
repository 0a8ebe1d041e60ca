"""Clips composed anew for every batch from a bank of mel powers; the compact network's way."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import torch
from torch import Generator, Tensor

from soundpost.registry import settings_from
from soundpost.training.bank import Bank, build_bank
from soundpost.training.batch import Batch
from soundpost.training.compose import Composer, ComposeSettings
from soundpost.training.inputs.material import Heard, Shared
from soundpost.training.plan import StageSettings

SHORTEST = 8  # frames of a batch


@dataclass(frozen=True)
class ComposedSettings:
    """How long clips are, and how they come about."""

    shortest: float = 0.5  # s; clips of a batch are equally long,
    longest: float = 6.0  # s; log-uniform between the two
    speeds: tuple[float, ...] = (0.84, 0.92, 1.0, 1.09, 1.19)  # at which sources are played
    compose: dict[str, object] = field(default_factory=dict)  # ComposeSettings


class Composed:
    """A bank of all clips, made once for all members.

    No golden case: it is our own.
    """

    Settings: ClassVar[type] = ComposedSettings

    def __init__(self, settings: ComposedSettings, shared: Shared) -> None:
        self.settings = settings
        self.shared = shared
        self.compose = settings_from(ComposeSettings, settings.compose, "[input] compose")

    @cached_property
    def bank(self) -> Bank:
        """Mel powers of every clip at every speed."""
        clips, shared = self.shared.clips, self.shared
        waveforms = (shared.waveform(row) for row in range(len(clips.paths)))
        speeds, device = self.settings.speeds, shared.device
        return build_bank(waveforms, clips.truth, shared.front_end, speeds, device, shared.is_time)

    def ready(self) -> None:
        """Make the features that all members share."""
        _ = self.shared.spectrograms

    def material(self, heard: Heard, stage: StageSettings) -> "ComposedMaterial":
        """Composed of the clips that are heard and of nothing else."""
        device = self.shared.device
        rows = torch.tensor(heard.rows, device=device)
        truth = torch.from_numpy(heard.truth).to(device)
        bank = Bank(self.bank.powers, self.bank.begins[:, rows], self.bank.lengths[:, rows], truth)
        front_end = self.shared.plan.front_end
        rate = front_end["sample_rate"] / front_end["hop_length"]
        return ComposedMaterial(Composer(bank, self.compose, torch.Generator(device)), self.settings, rate, stage.batch)


class ComposedMaterial:
    """Every clip is the first source of one composed clip an epoch."""

    def __init__(self, composer: Composer, settings: ComposedSettings, frames_per_second: float, batch: int) -> None:
        self.composer = composer
        self.settings = settings
        self.frames_per_second = frames_per_second
        self.count = len(composer.bank.truth)
        self.steps = -(-self.count // batch)

    def epoch(self, epoch: int, generator: Generator) -> list[Tensor]:
        """First sources of each batch."""
        return list(torch.randperm(self.count, generator=generator).tensor_split(self.steps))

    def batch(self, step: Tensor, epoch: int, generator: Generator) -> Batch:
        """Composed clips of one length, (batch, 1, mels, frames) in dB."""
        shortest, longest = self.settings.shortest, self.settings.longest
        seconds = shortest * (longest / shortest) ** float(torch.rand((), generator=generator))
        frames = max(SHORTEST, round(seconds * self.frames_per_second))
        self.composer.generator.manual_seed(int(torch.randint(2**62, (), generator=generator)))
        inputs, targets = self.composer.batch(step.to(self.composer.device), frames)
        lengths = torch.full((len(step),), frames)
        return Batch(inputs, lengths, targets, torch.zeros(len(step), dtype=torch.int64))
