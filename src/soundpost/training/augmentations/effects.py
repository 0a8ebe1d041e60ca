"""Waveforms through a chain of SoX's effects: reverb, pitch, overdrive, speed."""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Generator, Tensor

from soundpost.training import draws
from soundpost.training.batch import Batch
from soundpost.training.effects.overdrive import overdrive
from soundpost.training.effects.pitch import pitch
from soundpost.training.effects.reverb import Reverb, reverb
from soundpost.training.effects.speed import speed


@dataclass(frozen=True)
class EffectsSettings:
    """How often and how much; pairs hold the least and the most."""

    probability: float = 0.75
    room: tuple[int, int] = (0, 49)  # %; of reverberance, of the room's scale and of its stereo depth, drawn apart
    cents: tuple[int, int] = (-300, 299)
    gain_db: tuple[int, int] = (2, 9)  # how far overdrive goes
    factor: tuple[float, float] = (0.9, 1.1)  # how fast
    sample_rate: int = 44100  # Hz


@dataclass(frozen=True)
class EffectsDraw:
    """What happens to each clip."""

    happens: Tensor  # (batch,) bool
    room: Tensor  # (batch, 3) reverberance, room scale, stereo depth
    cents: Tensor  # (batch,)
    gain_db: Tensor  # (batch,)
    factor: Tensor  # (batch,)


class Effects:
    """One chain for each clip, whose length it changes; clips go through it one by one.

    A clip is made two channels by the reverb, unless its stereo depth is 0, and one again at the end.

    Source: systems specification of ex4sperans.
    """

    Settings: ClassVar[type] = EffectsSettings

    def __init__(self, settings: EffectsSettings) -> None:
        self.settings = settings

    def draw(self, batch: Batch, generator: Generator) -> EffectsDraw:
        """One chain for each clip, whether it happens or not."""
        chosen, count = self.settings, len(batch)
        return EffectsDraw(
            draws.chance(count, chosen.probability, generator),
            draws.integers(3 * count, *chosen.room, generator).reshape(count, 3),
            draws.integers(count, *chosen.cents, generator),
            draws.integers(count, *chosen.gain_db, generator),
            draws.uniform(count, *chosen.factor, generator),
        )

    def apply(self, batch: Batch, drawn: EffectsDraw) -> Batch:
        """Waveforms of other lengths."""
        clips = [batch.inputs[clip, :length] for clip, length in enumerate(batch.lengths.tolist())]
        for clip in torch.nonzero(drawn.happens)[:, 0].tolist():
            clips[clip] = self.chain(clips[clip], drawn, clip)
        lengths = torch.tensor([len(waveform) for waveform in clips])
        inputs = torch.nn.utils.rnn.pad_sequence(clips, batch_first=True)
        return replace(batch, inputs=inputs, lengths=lengths)

    def chain(self, waveform: Tensor, drawn: EffectsDraw, clip: int) -> Tensor:
        """One waveform (samples,) through all four effects, as drawn for that clip of the batch."""
        rate = self.settings.sample_rate
        reverberance, scale, depth = drawn.room[clip].tolist()
        room = Reverb(reverberance=reverberance, room_scale=scale, stereo_depth=depth, pre_delay_ms=20.0)
        out = pitch(reverb(waveform[None], room, rate), float(drawn.cents[clip]), rate)
        return speed(overdrive(out, float(drawn.gain_db[clip])), float(drawn.factor[clip])).mean(0)
