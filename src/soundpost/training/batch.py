"""What augmentations and mixers work on: clips of one batch, whatever their lengths."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Clips side by side; each begins at the first frame (or sample), and what lies behind its end means nothing."""

    inputs: Tensor  # (batch, channels, bins, frames) or (batch, samples), on any device
    lengths: Tensor  # (batch,) int64 frames or samples of each clip, on the processor
    targets: Tensor  # (batch, classes) in [0, 1], on the device of the inputs
    sources: Tensor  # (batch,) int64, which of the plan's sets each clip belongs to, on the processor

    def __len__(self) -> int:
        """How many clips."""
        return len(self.lengths)

    def with_inputs(self, inputs: Tensor) -> "Batch":
        """The same clips with other values of the same lengths."""
        return replace(self, inputs=inputs)

    def rows(self, chosen: Tensor) -> "Batch":
        """Some of the clips, or all in another order; chosen is (rows,) int64 on the processor."""
        there = chosen.to(self.inputs.device)
        return Batch(self.inputs[there], self.lengths[chosen], self.targets[there], self.sources[chosen])

    def per_clip(self, values: Tensor) -> Tensor:
        """Values (batch,) with the axes and on the device of the inputs, so that they can be multiplied with them."""
        shape = (-1, *[1] * (self.inputs.dim() - 1))
        return values.to(self.inputs.device, self.inputs.dtype).reshape(shape)

    def is_heard(self) -> Tensor:
        """Which frames or samples belong to a clip, (batch, frames) bool on the device of the inputs."""
        place = torch.arange(self.inputs.shape[-1], device=self.inputs.device)
        return place < self.lengths.to(self.inputs.device)[:, None]

    def least(self) -> Tensor:
        """Smallest value of each clip, (batch,)."""
        heard = self.is_heard()
        if self.inputs.dim() == 4:
            heard = heard[:, None, None]
        return self.inputs.masked_fill(~heard, torch.inf).flatten(1).amin(1)


def side_by_side(clips: Sequence[Batch], device: torch.device) -> Batch:
    """Clips of batches as one batch, on a device; what is shorter than the longest ends in zeros."""
    longest = max(clip.inputs.shape[-1] for clip in clips)
    padded = [torch.nn.functional.pad(clip.inputs, (0, longest - clip.inputs.shape[-1])) for clip in clips]
    return Batch(
        torch.cat(padded).to(device),
        torch.cat([clip.lengths for clip in clips]),
        torch.cat([clip.targets for clip in clips]).to(device),
        torch.cat([clip.sources for clip in clips]),
    )


def gathered(batch: Batch, columns: Tensor, lengths: Tensor, fill: Tensor | None = None) -> Batch:
    """The batch read at other frames, as padding, cropping, reversing and permuting slices all do.

    Args:
        batch: what is read.
        columns: (batch, frames) int64, for each frame of the result the frame that it shows, -1: none.
        lengths: (batch,) of the result's clips.
        fill: (batch,) values of frames that show none; zeros if not given.
    """
    inputs = batch.inputs
    columns = columns.to(inputs.device)
    shown = columns.clamp(min=0)
    if inputs.dim() == 4:
        columns, shown = columns[:, None, None], shown[:, None, None]
    read = torch.gather(inputs, -1, shown.expand(*inputs.shape[:-1], shown.shape[-1]))
    empty = torch.zeros(len(batch)) if fill is None else fill
    return replace(batch, inputs=torch.where(columns < 0, batch.per_clip(empty), read), lengths=lengths)
