"""Spectrograms of all rows of a stretch of a recording, side by side in one array, and where each row's frames lie."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from soundpost.audio.windows import WindowSettings, cut, ring
from soundpost.front_ends.front_end import FrontEnd

MOST_ROWS = 120  # most rows of one stretch: ten minutes of rows of five seconds


@dataclass(frozen=True)
class RowPictures:
    """A front end over windows.

    With scope "window" each window's spectrogram is made alone and they stand one behind the other; with "recording"
    there is one spectrogram of the stretch, whose rows overlap as their windows do, so that nothing is made twice.
    """

    front_end: FrontEnd
    settings: WindowSettings
    rate: int  # Hz, of the waveforms

    def shape(self, rows: int) -> tuple[int, int, int]:
        """(channels, bins, frames) of the array of so many rows."""
        window = self.settings.window_samples(self.rate)
        if self.settings.scope == "recording":
            return self.front_end.shape(window + (rows - 1) * self.settings.row_samples(self.rate))
        channels, bins, frames = self.front_end.shape(window)
        return channels, bins, rows * len(self.settings.shifts) * frames

    def pieces(self, frames: int) -> tuple[tuple[int, int, int, float], ...]:
        """(row, first frame, frames, weight) of every window of an array of that many frames."""
        each = self.front_end.shape(self.settings.window_samples(self.rate))[2]
        if self.settings.scope == "window":
            weights = self.settings.shift_weights
            numbers = range(frames // each)
            return tuple((p // len(weights), p * each, each, weights[p % len(weights)]) for p in numbers)
        step = self.settings.row_samples(self.rate)
        starts: list[int] = []
        while len(starts) < MOST_ROWS and self.shape(len(starts) + 1)[2] <= frames:
            first = self.front_end.shape(len(starts) * step)[2] - self.front_end.shape(0)[2]
            starts.append(min(first, frames - each))
        return tuple((row, start, each, 1.0) for row, start in enumerate(starts))

    def reach(self, first: int, rows: int) -> tuple[float, float]:
        """From which second to which one rows first ... first + rows - 1 hear, not before the recording's start."""
        begin = max(0, self.settings.first_sample(first, self.rate)) / self.rate
        end = self.settings.first_sample(first + rows - 1, self.rate) + self.settings.window_samples(self.rate)
        return begin, end / self.rate

    def __call__(self, waveform: np.ndarray, begin: int, first: int, rows: int) -> Tensor:
        """The array of rows first ... first + rows - 1.

        Args:
            waveform: (samples,) of the recording from sample `begin` on.
            begin: sample of the recording with which the waveform begins.
            first: number of the first row.
            rows: how many; at most MOST_ROWS.

        Returns:
            (channels, bins, frames) float32 of the shape that shape(rows) says.
        """
        length, step = self.settings.window_samples(self.rate), self.settings.row_samples(self.rate)
        starts = [self.settings.first_sample(first + row, self.rate) - begin for row in range(rows)]
        if self.settings.scope == "recording":
            whole = cut(waveform, starts[:1], length + (rows - 1) * step, self.settings.padding)
            return self.front_end(torch.from_numpy(whole))[0]
        if self.settings.shifts == (0.0,):
            waveforms = self._windows(waveform, starts, length)
        else:
            origin = first * step - begin
            joined = [
                cut(ring(waveform[max(0, origin) :], rows * step, round(shift * self.rate)),
                    [start - origin for start in starts], length)
                for shift in self.settings.shifts
            ]  # fmt: skip
            waveforms = torch.from_numpy(np.stack(joined, axis=1).reshape(-1, length))
        pictures = self.front_end(waveforms)
        return pictures.permute(1, 2, 0, 3).reshape(pictures.shape[1], pictures.shape[2], -1)

    def _windows(self, waveform: np.ndarray, starts: list[int], length: int) -> Tensor:
        """(rows, length), without a copy for each window where they lie at equal steps."""
        if self.settings.padding != "behind":
            return torch.from_numpy(cut(waveform, starts, length, self.settings.padding))
        step = self.settings.row_samples(self.rate)
        whole = cut(waveform, starts[:1], length + (len(starts) - 1) * step)[0]
        return torch.from_numpy(whole).unfold(0, length, step)
