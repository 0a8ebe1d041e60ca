"""Labelled spectrograms as batches of windows, cut as a recipe's view cuts them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from soundpost.views.batch import stack
from soundpost.views.view import View, Window

SPREAD = 0.2  # the part of a window's length by which clips of an epoch mingle with those that are a little longer


@dataclass(frozen=True)
class Part:
    """What one batch shows."""

    rows: tuple[int, ...]
    windows: tuple[Window, ...]  # one for each row
    frames: int  # to which windows are cut


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

    def parts(self, rows: Sequence[int], count: int, generator: torch.Generator) -> list[Part]:
        """Rows in so many batches: windows of about the same length together, nothing padded."""
        windows = [self._drawn(self._spectrograms[row].shape[-1], generator) for row in rows]
        lengths = torch.tensor([float(window.frames) for window in windows])
        order = (lengths * (1 + SPREAD * torch.rand(len(windows), generator=generator))).argsort()
        groups, found = order.tensor_split(count), []
        for number in torch.randperm(count, generator=generator):
            places = groups[number].tolist()
            frames = min(windows[place].frames for place in places)
            shown = tuple(windows[place] for place in places)
            found.append(Part(tuple(rows[place] for place in places), shown, min(frames, self._longest or frames)))
        return found

    def shown(self, part: Part, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """What the network takes, as long as the shortest window of the batch, and targets (batch, classes)."""
        pictures = [self._spectrograms[row] for row in part.rows]
        windows = [
            _shortened(window, part.frames, picture.shape[-1], generator)
            for window, picture in zip(part.windows, pictures, strict=True)
        ]
        batch = stack(pictures, windows, self._view)
        return self._view.prepare(batch.float()), self._truth[list(part.rows)]

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
