"""Spectrograms of all rows of a stretch of a recording, side by side in one array, and where each row's frames lie."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from soundpost.audio.windows import Samples, WindowSettings, cut, merged, ring_parts
from soundpost.front_ends.front_end import FrontEnd

MOST_ROWS = 120  # most rows of one stretch, and of one spectrogram: ten minutes of rows of five seconds


@dataclass(frozen=True)
class RowPictures:
    """A front end over windows.

    With scope "window" each window's spectrogram is made alone and they stand one behind the other; with "recording"
    there is one spectrogram of the recording (of each MOST_ROWS rows, where it has more), whose rows overlap as their
    windows do, so that nothing is made twice.
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

    def overlap(self) -> tuple[int, int] | None:
        """Frames from one window to the next, and at each window's ends those that its neighbours show otherwise.

        None where windows do not overlap, or not by whole frames: 160,000 samples are 312.5 hops of 512.
        """
        window, row = self.settings.window_samples(self.rate), self.settings.row_samples(self.rate)
        framing = getattr(self.front_end, "framing", None)
        if self._is_ring or window <= row or framing is None or row % framing.hop_length:
            return None
        if self.front_end.shape(window)[2] != framing.frames(window):  # pictures of another size
            return None
        if self.settings.scope == "recording":
            return row // framing.hop_length, 0
        edge = -(-framing.n_fft // (2 * framing.hop_length)) + getattr(self.front_end, "frames_beside", 0)
        return row // framing.hop_length, edge

    def heard(self, first: int, count: int, total: int) -> tuple[int, int]:
        """Which rows are to be worked on so that rows first ... first + count - 1 are what the recording makes of them.

        Of one spectrogram, or of pictures with one floor, all rows; of frames that are averaged where windows overlap,
        those whose windows do; else the rows themselves.

        Args:
            first: number of the first row in the recording.
            count: how many rows.
            total: how many the recording has.

        Returns:
            Number of the first row, and how many.
        """
        if self.settings.scope == "recording" or self._has_one_floor:
            begin = first - first % MOST_ROWS
            return begin, min(MOST_ROWS, total - begin)
        row = self.settings.row_samples(self.rate)
        beside = -(-(self.settings.window_samples(self.rate) - row) // (2 * row)) if self.settings.frames else 0
        begin = max(0, first - beside)
        return begin, min(total, first + count + beside) - begin

    def parts(self, first: int, rows: int, total: int) -> list[tuple[int, int]]:
        """First sample and end of every part of a recording that rows first ... first + rows - 1 hear.

        One part, but for windows that are moved along a ring: theirs may begin at its end and go on at its start.
        """
        begin, end = self._reach(first, rows)
        if not self._is_ring:
            return [(begin, end)]
        ring = total * self.settings.row_samples(self.rate)
        shifted = (ring_parts(begin, min(ring, end), shift, ring) for shift in self._shifts)
        return merged([part for parts in shifted for part in parts])

    def __call__(self, samples: Samples, first: int, rows: int, total: int) -> Tensor:
        """The array of rows first ... first + rows - 1.

        Args:
            samples: the parts of the recording that parts() names.
            first: number of the first row.
            rows: how many; at most MOST_ROWS of one spectrogram.
            total: how many the recording has.

        Returns:
            (channels, bins, frames) float32 of the shape that shape(rows) says.
        """
        length, step = self.settings.window_samples(self.rate), self.settings.row_samples(self.rate)
        begin, end = self._reach(first, rows)
        starts = [self.settings.first_sample(first + row, self.rate) - begin for row in range(rows)]
        if self._is_ring:
            ring = total * step
            moved = (samples.joined(ring_parts(begin, min(ring, end), shift, ring)) for shift in self._shifts)
            pictures = self._side_by_side(self._windows(waveform, starts, length) for waveform in moved)
        elif self.settings.scope == "recording":
            waveform = samples.taken(begin, end)
            whole = cut(waveform, starts[:1], length + (rows - 1) * step, self.settings.padding)
            return self.front_end(torch.from_numpy(whole))[0]
        else:
            pictures = self.front_end(self._windows(samples.taken(begin, end), starts, length))
        return pictures.permute(1, 2, 0, 3).reshape(pictures.shape[1], pictures.shape[2], -1)

    def _side_by_side(self, shifted: Iterable[Tensor]) -> Tensor:
        """Pictures of the windows of every shift, those of a row together; of one shift at a time, unless one floor
        is theirs, because the waveforms of all together are most of what a worker holds."""
        if self._has_one_floor:
            windows = torch.stack(list(shifted), 1)
            return self.front_end(windows.flatten(0, 1))
        return torch.stack([self.front_end(windows) for windows in shifted], 1).flatten(0, 1)

    @property
    def _has_one_floor(self) -> bool:
        return getattr(self.front_end.settings, "scope", "window") == "recording"

    @property
    def _is_ring(self) -> bool:
        return self.settings.shifts != (0.0,)

    @property
    def _shifts(self) -> list[int]:
        """By how many samples windows are moved to later times."""
        return [round(shift * self.rate) for shift in self.settings.shifts]

    def _reach(self, first: int, rows: int) -> tuple[int, int]:
        """First sample of the recording that rows hear where nothing is moved, and the end of what they hear."""
        end = self.settings.first_sample(first + rows - 1, self.rate) + self.settings.window_samples(self.rate)
        return max(0, self.settings.first_sample(first, self.rate)), end

    def _windows(self, waveform: np.ndarray, starts: list[int], length: int) -> Tensor:
        """(rows, length), without a copy for each window where they lie at equal steps."""
        if self.settings.padding != "behind":
            return torch.from_numpy(cut(waveform, starts, length, self.settings.padding))
        step = self.settings.row_samples(self.rate)
        whole = cut(waveform, starts[:1], length + (len(starts) - 1) * step)[0]
        return torch.from_numpy(whole).unfold(0, length, step)
