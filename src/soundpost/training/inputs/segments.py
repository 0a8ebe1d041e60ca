"""Random segments of trimmed waveforms, mixed as waveforms, beside statistics and length of the whole clip.

For networks whose front end is `segments`, which lays out fixed positions; training hears any.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from torch import Generator, Tensor

from soundpost.audio.trim import trim
from soundpost.errors import SettingsError
from soundpost.front_ends.segments import Segments as SegmentsFrontEnd
from soundpost.front_ends.segments import global_statistics
from soundpost.functional.qrfaction_layout import STATISTICS, STEPS, pack
from soundpost.training.batch import Batch
from soundpost.training.inputs.chain import ChainMaterial, even
from soundpost.training.inputs.material import Heard, Shared
from soundpost.training.plan import StageSettings
from soundpost.training.sixteen_bits import as_waveform
from soundpost.training.store import Store

SIDES = STEPS * STATISTICS + 3  # statistics, length, first and last sample of what trimming leaves


@dataclass(frozen=True)
class SegmentsSettings:
    """Nothing is left to choose: [[augment]] cuts segments, by `place` as published."""


class Segments:
    """What is mixed is the waveform alone: statistics and length stay the clip's own.

    Source: systems specification of qrfaction.
    """

    Settings: ClassVar[type] = SegmentsSettings

    def __init__(self, settings: SegmentsSettings, shared: Shared) -> None:
        if not isinstance(shared.front_end, SegmentsFrontEnd):
            raise SettingsError(
                f"[input] segments: the front end is {shared.plan.front_end['name']}. Take the front end segments, or "
                "another input."
            )
        self.shared = shared
        self.front_end: SegmentsFrontEnd = shared.front_end

    @cached_property
    def sides(self) -> Store:
        """Statistics, length and place of what trimming leaves, of every clip."""
        chosen = self.front_end.settings

        def make(row: int) -> np.ndarray:
            whole = self.shared.waveform(row)
            start, end = trim(whole, chosen.trim_db, chosen.trim_pad_mode)
            tail = [(end - start) / chosen.length_unit, start, end]
            return np.concatenate([global_statistics(whole).ravel(), np.array(tail, np.float64)])

        key = self.shared.key("sides", repr((chosen.trim_db, chosen.trim_pad_mode, chosen.length_unit)))
        return self.shared.store(key, make)

    def ready(self) -> None:
        """Make the features that all members share."""
        _ = self.shared.spectrograms, self.shared.waveforms, self.sides

    def material(self, heard: Heard, stage: StageSettings) -> "SegmentsMaterial":
        """What is heard, in a stage's augmentations."""
        return SegmentsMaterial(heard, stage, self)


class SegmentsMaterial(ChainMaterial):
    """Waveforms through augmentations and mixers, then as the front end packs them."""

    def __init__(self, heard: Heard, stage: StageSettings, made: Segments) -> None:
        waveforms, self.sides, self.front_end = made.shared.waveforms, made.sides, made.front_end

        def read(row: int) -> Tensor:
            start, end = self.sides[row][-2:].astype(np.int64).tolist()
            return as_waveform(waveforms[row][start:end])

        super().__init__(heard, stage, made.shared, read)

    def batch(self, step: Tensor, epoch: int, generator: Generator) -> Batch:
        """Clips of these rows, (batch, 1, bins, frames of a segment and side columns)."""
        mixed = super().batch(step, epoch, generator)
        rows = []
        for waveform, row in zip(even(mixed, "waveforms"), step.tolist(), strict=True):
            side = torch.tensor(self.sides[self.heard.rows[row]])
            statistics = side[:-3].reshape(STEPS, STATISTICS).float().to(waveform.device)
            rows.append(pack(self.front_end.image(waveform), statistics, float(side[-3])))
        inputs = torch.stack(rows)
        return replace(mixed, inputs=inputs, lengths=torch.full((len(rows),), inputs.shape[-1]))
