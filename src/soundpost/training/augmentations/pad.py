"""Short clips made as long as a window, by repeating the clip or with its smallest value."""

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Generator, Tensor

from soundpost.errors import SettingsError
from soundpost.training.batch import Batch, gathered

WAYS = ("wrap", "minimum", "zeros")


@dataclass(frozen=True)
class PadSettings:
    """How long, and how."""

    frames: int = 256  # shorter clips become that long; longer ones stay as they are
    ways: dict[str, float] = field(default_factory=lambda: {"wrap": 0.5, "minimum": 0.5})  # way -> how often


class Pad:
    """The clip in the middle, the smaller half of what is missing in front of it.

    Source: "PadToSize" of the systems specification of argus.
    """

    Settings: ClassVar[type] = PadSettings

    def __init__(self, settings: PadSettings) -> None:
        if unknown := sorted(set(settings.ways) - set(WAYS)):
            raise SettingsError(f"pad: way {', '.join(unknown)}; known: {', '.join(WAYS)}. Correct it.")
        self.settings = settings

    def draw(self, batch: Batch, generator: Generator) -> Tensor:
        """(batch,) int64: the number of each clip's way among WAYS."""
        odds = torch.tensor([self.settings.ways.get(way, 0.0) for way in WAYS])
        return torch.multinomial(odds, len(batch), replacement=True, generator=generator)

    def apply(self, batch: Batch, drawn: Tensor) -> Batch:
        """Clips of at least that many frames."""
        lengths = batch.lengths.clamp(min=self.settings.frames)
        columns = padded_columns(batch.lengths, self.settings.frames, drawn == WAYS.index("wrap"))
        fill = torch.where(drawn.to(batch.inputs.device) == WAYS.index("minimum"), batch.least(), 0.0)
        return gathered(batch, columns, lengths, fill)


def padded_columns(lengths: Tensor, frames: int, is_wrapped: Tensor) -> Tensor:
    """For each frame of the padded clips the frame that it shows, -1: none.

    Args:
        lengths: (batch,) frames of each clip.
        frames: as many as the result has at least.
        is_wrapped: (batch,) whether the clip is repeated strictly, as numpy.pad's mode "wrap" does.

    Returns:
        (batch, longest) int64, where longest is the largest of frames and lengths.
    """
    place = torch.arange(max(frames, int(lengths.max())))
    before = (frames - lengths).clamp(min=0) // 2
    shown = place - before[:, None]
    outside = (shown < 0) | (shown >= lengths[:, None])
    wrapped = (shown % lengths[:, None]).where(place < torch.clamp(lengths, min=frames)[:, None], -1)
    return torch.where(outside, torch.where(is_wrapped[:, None], wrapped, -1), shown)
