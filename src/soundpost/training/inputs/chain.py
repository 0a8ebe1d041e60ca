"""Spectrograms, or waveforms, through the plan's augmentations and mixers, a whole batch at a time on the device."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor

from soundpost.errors import SettingsError
from soundpost.registry import build
from soundpost.training.augmentations import AUGMENTATIONS, BY_CLIP
from soundpost.training.augmentations.augmentation import Augmentation
from soundpost.training.batch import Batch, side_by_side
from soundpost.training.inputs.material import Heard, Shared
from soundpost.training.inputs.windowed import sampler_of, source_numbers
from soundpost.training.mixing import Mixing, MixSettings
from soundpost.training.plan import StageSettings, strict
from soundpost.training.samplers.sampler import cut
from soundpost.training.sixteen_bits import as_waveform


@dataclass(frozen=True)
class SpectrogramsSettings:
    """Nothing is left to choose: [[augment]] says what happens."""


class Spectrograms:
    """The front end's spectrograms, augmented, prepared as the view prepares them, then mixed.

    No golden case: it only calls parts that have theirs.
    """

    Settings: ClassVar[type] = SpectrogramsSettings

    def __init__(self, settings: SpectrogramsSettings, shared: Shared) -> None:
        self.shared = shared

    def ready(self) -> None:
        """Make the features that all members share."""
        _ = self.shared.spectrograms

    def material(self, heard: Heard, stage: StageSettings) -> "ChainMaterial":
        """What is heard, in a stage's augmentations."""
        store, view = self.shared.spectrograms, self.shared.view

        def read(row: int) -> Tensor:
            return torch.tensor(store[row])

        def prepare(batch: Batch) -> Batch:
            inputs = view.prepare(even(batch, "spectrograms").float())
            return replace(batch, inputs=inputs, lengths=torch.full((len(batch),), inputs.shape[-1]))

        return ChainMaterial(heard, stage, self.shared, read, before_mixing=prepare)


@dataclass(frozen=True)
class WaveformsSettings:
    """Nothing is left to choose: [[augment]] says what happens."""


class Waveforms:
    """Waveforms, augmented and mixed, then seen through the front end; shorter ones end in zeros.

    No golden case: it only calls parts that have theirs.
    """

    Settings: ClassVar[type] = WaveformsSettings

    def __init__(self, settings: WaveformsSettings, shared: Shared) -> None:
        self.shared = shared

    def ready(self) -> None:
        """Make the features that all members share."""
        _ = self.shared.spectrograms, self.shared.waveforms

    def material(self, heard: Heard, stage: StageSettings) -> "ChainMaterial":
        """What is heard, in a stage's augmentations."""
        store, shared = self.shared.waveforms, self.shared

        def read(row: int) -> Tensor:
            return as_waveform(store[row])

        def see(batch: Batch) -> Batch:
            # Effects may have left less than the network needs.
            at_least = shared.audio.length_samples if shared.audio.length_rule.startswith("at_least") else 0
            size = max(int(batch.lengths.max()), at_least)
            waveforms = (batch.inputs * batch.is_heard())[:, :size]
            waveforms = torch.nn.functional.pad(waveforms, (0, size - waveforms.shape[1]))
            inputs = shared.view.prepare(shared.front_end(waveforms))
            return replace(batch, inputs=inputs, lengths=torch.full((len(batch),), inputs.shape[-1]))

        return ChainMaterial(heard, stage, self.shared, read, after_mixing=see)


def even(batch: Batch, what: str) -> Tensor:
    """Inputs of clips that are all of one length.

    Raises:
        SettingsError: they are not.
    """
    if len(batch.lengths.unique()) > 1:
        raise SettingsError(
            f"[[augment]]: {what} of a batch are {int(batch.lengths.min())} to {int(batch.lengths.max())} frames long. "
            "Make them equal by pad, crop or place."
        )
    return batch.inputs[..., : int(batch.lengths[0])]


def _as_it_is(batch: Batch) -> Batch:
    return batch


class ChainMaterial:
    """Clips as the sampler chooses them, through everything that is drawn for them."""

    def __init__(
        self,
        heard: Heard,
        stage: StageSettings,
        shared: Shared,
        read: Callable[[int], Tensor],
        before_mixing: Callable[[Batch], Batch] = _as_it_is,
        after_mixing: Callable[[Batch], Batch] = _as_it_is,
    ) -> None:
        self.heard = heard
        self.stage = stage
        self.device = shared.device
        self.read, self.before_mixing, self.after_mixing = read, before_mixing, after_mixing
        self.numbers = source_numbers(heard, shared)
        self.targets = torch.from_numpy(heard.truth)
        self.augmentations = [placed(table) for table in stage.augment or ()]
        self.after = [one for one in self.augmentations if one.after_mixing]
        self.mixing = Mixing(strict(MixSettings, stage.mix or {}, "[mix]"))
        self.sampler = sampler_of(stage)
        self.steps = len(self.epoch(0, torch.Generator().manual_seed(0)))

    def epoch(self, epoch: int, generator: Generator) -> Sequence[Tensor]:
        """Rows of each batch."""
        order = self.sampler(self.heard.sources, self.targets, generator)
        return cut(order, self.stage.batch, self.stage.drops_last)

    def batch(self, step: Tensor, epoch: int, generator: Generator) -> Batch:
        """Clips of these rows, augmented and mixed."""
        before = [one for one in self.augmentations if not one.after_mixing]
        own = self.before_mixing(self._heard(step, before, epoch, generator))
        if self.mixing.happens(epoch):
            chosen = self.mixing.choose(len(own), generator)
            own = self.mixing.mixed(own, self._partner(own, step, epoch, generator), chosen, generator)
        return self.after_mixing(_augmented(own, self.after, epoch, generator))

    def _partner(self, own: Batch, step: Tensor, epoch: int, generator: Generator) -> Batch:
        if self.mixing.settings.partner == "same_batch":
            return own.rows(torch.randperm(len(own), generator=generator))
        odds = torch.ones(len(step), len(self.numbers))
        if self.mixing.settings.partner == "same_source":
            odds = (self.numbers[step][:, None] == self.numbers).float()
        rows = torch.multinomial(odds, 1, generator=generator)[:, 0]
        theirs = [one for one in self.augmentations if one.partners and not one.after_mixing]
        return self.before_mixing(self._heard(rows, theirs, epoch, generator))

    def _heard(self, rows: Tensor, ones: Sequence["Placed"], epoch: int, generator: Generator) -> Batch:
        """Clips of these rows, augmented: the first steps clip by clip as far as they can, the others side by side."""
        first = list(itertools.takewhile(lambda one: one.by_clip, ones))
        clips = [_augmented(self._clip(row), first, epoch, generator) for row in rows.tolist()]
        return _augmented(side_by_side(clips, self.device), ones[len(first) :], epoch, generator)

    def _clip(self, row: int) -> Batch:
        inputs = self.read(self.heard.rows[row])[None]
        lengths = torch.tensor([inputs.shape[-1]])
        return Batch(inputs, lengths, self.targets[row : row + 1], self.numbers[row : row + 1])


@dataclass(frozen=True)
class Placed:
    """An augmentation and where it stands."""

    part: Augmentation
    by_clip: bool  # whether it may be drawn for one clip after the other
    off_from: int  # epoch of a stage from which it is off; 0: never
    after_mixing: bool  # whether mixed clips go through it, instead of what is mixed
    partners: bool  # whether partners that are drawn afresh go through it, too


def placed(table: Mapping[str, Any]) -> Placed:
    """An augmentation from its table, with what the table says of its place."""
    places = {"off_from": 0, "after_mixing": False, "partners": True}
    own = {key: value for key, value in table.items() if key not in places}
    part = build(AUGMENTATIONS, table["name"], own, "augmentation", where="[[augment]]")
    return Placed(part, table["name"] in BY_CLIP, *(table.get(key, default) for key, default in places.items()))


def _augmented(batch: Batch, parts: Sequence[Placed], epoch: int, generator: Generator) -> Batch:
    for one in parts:
        if not one.off_from or epoch < one.off_from:
            batch = one.part.apply(batch, one.part.draw(batch, generator))
    return batch
