"""What a network takes as it is, such as the first level's probabilities."""

import numpy as np
import torch
from torch import Generator, Tensor

from soundpost.training.batch import Batch


class Rows:
    """Clips in any order.

    Args:
        inputs: (clips, inputs, classes) float32.
        truth: (clips, classes) float32.
        batch: clips.
    """

    def __init__(self, inputs: np.ndarray, truth: np.ndarray, batch: int) -> None:
        self._inputs, self._truth = torch.from_numpy(inputs), torch.from_numpy(truth)
        self.steps = -(-len(inputs) // batch)

    def epoch(self, epoch: int, generator: Generator) -> list[Tensor]:
        """Rows of each batch."""
        return list(torch.randperm(len(self._inputs), generator=generator).tensor_split(self.steps))

    def batch(self, step: Tensor, epoch: int, generator: Generator) -> Batch:
        """Clips of these rows."""
        inputs = self._inputs[step]
        lengths = torch.full((len(step),), inputs.shape[-1])
        return Batch(inputs, lengths, self._truth[step], torch.zeros(len(step), dtype=torch.int64))
