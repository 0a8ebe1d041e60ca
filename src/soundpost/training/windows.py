"""Labelled spectrograms as batches of windows, cut as a recipe's view cuts them; a first level's answers as rows."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from soundpost.views.batch import stack
from soundpost.views.view import View, Window

SPREAD = 0.2  # the part of a window's length by which clips of an epoch mingle with those that are a little longer


class Examples(Protocol):
    """What a network learns from."""

    def __len__(self) -> int:
        """How many clips."""
        ...

    def batches(self, count: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Every clip once, in so many batches: what the network takes, and targets (batch, classes)."""
        ...


class Windows:
    """Clips of which each epoch shows one window, drawn from those of the view.

    Args:
        spectrograms: those of the clips, each (channels, bins, frames).
        truth: (clips, classes) float32.
        view: the rule that cuts, and prepares what was cut.
        longest: frames; longer windows are cut to a stretch of that many; 0: as the view says.
    """

    def __init__(self, spectrograms: Sequence[np.ndarray], truth: np.ndarray, view: View, longest: int = 0) -> None:
        self._spectrograms = spectrograms
        self._truth = torch.from_numpy(truth)
        self._view = view
        self._longest = longest

    def __len__(self) -> int:
        """How many clips."""
        return len(self._spectrograms)

    def batches(self, count: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Windows of about the same length together; a batch is as long as its shortest, and nothing is padded."""
        windows = [self._drawn(spectrogram.shape[-1], generator) for spectrogram in self._spectrograms]
        lengths = torch.tensor([float(window.frames) for window in windows])
        order = (lengths * (1 + SPREAD * torch.rand(len(windows), generator=generator))).argsort()
        groups = order.tensor_split(count)
        for number in torch.randperm(count, generator=generator):
            rows = groups[number].tolist()
            frames = min(windows[row].frames for row in rows)
            frames = min(frames, self._longest or frames)
            shown = [_shortened(windows[row], frames, self._spectrograms[row].shape[-1], generator) for row in rows]
            batch = stack([self._spectrograms[row] for row in rows], shown, self._view)
            yield self._view.prepare(batch.float()), self._truth[rows]

    def _drawn(self, frames: int, generator: torch.Generator) -> Window:
        windows = self._view.windows(frames)
        return windows[int(torch.randint(len(windows), (), generator=generator))]


def _shortened(window: Window, frames: int, length: int, generator: torch.Generator) -> Window:
    """A stretch of a window, with as much of the clip in it as there can be.

    Args:
        window: frames or more.
        frames: how long the stretch is.
        length: the clip's, in frames; windows may begin before it and end behind it.
        generator: draws where the stretch lies.
    """
    if window.frames == frames:
        return window
    first = max(window.start, min(0, length - frames))
    last = max(first, min(window.start + window.frames - frames, max(0, length - frames)))
    return replace(window, start=first + int(torch.randint(last - first + 1, (), generator=generator)), frames=frames)


class Rows:
    """What a network takes as it is, such as the first level's probabilities.

    Args:
        inputs: (clips, inputs, classes) float32.
        truth: (clips, classes) float32.
    """

    def __init__(self, inputs: np.ndarray, truth: np.ndarray) -> None:
        self._inputs, self._truth = torch.from_numpy(inputs), torch.from_numpy(truth)

    def __len__(self) -> int:
        """How many clips."""
        return len(self._inputs)

    def batches(self, count: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Clips in any order."""
        for rows in torch.randperm(len(self), generator=generator).tensor_split(count):
            yield self._inputs[rows], self._truth[rows]
