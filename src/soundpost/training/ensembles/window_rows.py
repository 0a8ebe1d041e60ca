"""Answers of a first level to the windows of clips, as a second level hears them."""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from soundpost.training import tiles
from soundpost.training.batch import Batch


class WindowRows:
    """Clips, each shown as the mean of some of its windows, drawn anew every time.

    Args:
        windows: (windows, inputs, classes) float32 for each clip.
        truth: (clips, classes) float32.
        batch: clips.
        draws: clips of an epoch, drawn with replacement; 0: every clip once.
    """

    def __init__(self, windows: Sequence[Tensor], truth: Tensor, batch: int, draws: int) -> None:
        self._counts = torch.tensor([len(one) for one in windows])
        self._begins = self._counts.cumsum(0) - self._counts
        self._shape = windows[0].shape[1:]
        self._answers = torch.cat([one.flatten(1) for one in windows])
        self._truth, self._draws = truth, draws
        self.steps = -(-(draws or len(windows)) // batch)

    def epoch(self, epoch: int, generator: Generator) -> list[Tensor]:
        """Rows of each batch."""
        clips = len(self._counts)
        order = torch.randperm(clips, generator=generator)
        if self._draws:
            order = torch.randint(clips, (self._draws,), generator=generator)
        return list(order.tensor_split(self.steps))

    def batch(self, step: Tensor, epoch: int, generator: Generator) -> Batch:
        """Clips of these rows, (batch, inputs, classes)."""
        counts = self._counts[step]
        place = torch.arange(int(counts.max())).minimum(counts[:, None] - 1)
        answers = self._answers[self._begins[step][:, None] + place]
        kept = tiles.draw(tiles.TileDrawSettings(), counts, generator)
        inputs = tiles.apply(answers, kept).unflatten(1, self._shape)
        lengths = torch.full((len(step),), inputs.shape[-1])
        return Batch(inputs, lengths, self._truth[step], torch.zeros(len(step), dtype=torch.int64))
