"""Where the energy of a sound really lies: linear reassignment of a constant-Q spectrogram to a fine grid.

The waveform passes a bank of overlapping Gaussian band-pass filters. For a Gaussian, the slope of a filter's output
tells by how much the energy that it shows at some instant lies off in time and in frequency; it is added up where it
belongs. All of this is done on the CPU, whatever the device of the waveform, a filter at a time in a core's cache.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from soundpost.front_ends.narrow_bands import Output, Spectrum

SAMPLES_AT_ONCE = 1 << 18  # in a piece of a waveform; longer waveforms are taken piece by piece


@dataclass(frozen=True)
class Grid:
    """The cells that energy is added up in, and the filters that it is looked for with."""

    q: float  # cycles in a standard deviation of a filter's impulse response
    hop_length: int  # samples; the length of a cell
    rows_per_octave: float
    fmin: float  # cycles per sample
    fmax: float  # cycles per sample
    filters_per_row: int
    double: bool  # transform in float64

    @property
    def rows(self) -> int:
        """Rows of cells, the highest frequency first."""
        return math.ceil(self.rows_per_octave * math.log2(self.fmax / self.fmin) + 1)

    def columns(self, samples: int) -> int:
        """Columns of cells of a waveform of that many samples."""
        return -(-samples // self.hop_length)

    def filters(self) -> Iterator[tuple[float, float]]:
        """Centre and width of every filter in cycles per sample, the lowest first."""
        for line in range(self.rows * self.filters_per_row):
            centre = self.fmin * 2 ** (line / (self.filters_per_row * self.rows_per_octave))
            yield centre, centre / (2 * math.pi * self.q)


def reassigned(waveform: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
    """Energy and number of visits of every cell.

    A waveform of more than SAMPLES_AT_ONCE is taken in pieces of whole cells; nothing moves across their borders.

    Args:
        waveform: (samples,) float32.
        grid: cells and filters.

    Returns:
        Energy (rows, columns) float64 and visits (rows, columns) int64; rows from the highest frequency down.

    Source: G. Gardner and M. Magnasco, "Sparse time-frequency representations", PNAS 2006, in the linear form of
    "High resolution spectrograms" (Freesound 2018).
    """
    pieces = waveform.cpu().split(SAMPLES_AT_ONCE // grid.hop_length * grid.hop_length)
    energies, visits = zip(*(_piece(piece, grid) for piece in pieces), strict=True)
    return torch.cat(energies, 1).to(waveform.device), torch.cat(visits, 1).to(waveform.device)


def _piece(waveform: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
    """Energy and visits of a waveform that is taken at once."""
    spectrum = Spectrum(waveform, torch.float64 if grid.double else torch.float32)
    cells = _Cells(grid, waveform.shape[0])
    for (centre, width), output in zip(grid.filters(), spectrum.outputs(grid.filters()), strict=True):
        cells.add(centre, width, output)
    return cells.energy, cells.visits


class _Cells:
    """The grid over one waveform, and what has been added up in it."""

    def __init__(self, grid: Grid, samples: int) -> None:
        self._grid, self._samples = grid, samples
        self._columns = grid.columns(samples)
        self._nowhere = grid.rows * self._columns  # a cell behind the last one, for what falls outside
        self._energy = torch.zeros(self._nowhere + 1, dtype=torch.float64)
        self._visits = torch.zeros(self._nowhere + 1, dtype=torch.int64)
        self._kept = np.empty(samples, bool)
        self._room: list[np.ndarray] = []  # arrays that every filter uses again

    @property
    def energy(self) -> Tensor:
        """(rows, columns) float64."""
        return self._energy[:-1].view(self._grid.rows, self._columns)

    @property
    def visits(self) -> Tensor:
        """(rows, columns) int64."""
        return self._visits[:-1].view(self._grid.rows, self._columns)

    def add(self, centre: float, width: float, output: Output) -> None:
        """Add the output of one filter where it belongs.

        With a + ib the output's slope over the output, the energy seen at sample n by the filter of centre c and width
        s (in cycles per sample) lies at sample n + a / (2 pi s)^2 and at frequency c + b / (2 pi). What would move by
        half a width or more is left out.
        """
        real, real_slope, imaginary, imaginary_slope = output.parts
        self._room = self._room or [np.empty_like(real) for _ in range(4)]
        power, growth, turn, other = self._room
        _products(real, real, imaginary, imaginary, np.add, power, other)
        _products(real_slope, real, imaginary_slope, imaginary, np.add, growth, other)
        _products(imaginary_slope, real, real_slope, imaginary, np.subtract, turn, other)
        with np.errstate(all="ignore"):  # where there is no power there is no answer, which no comparison keeps
            np.reciprocal(power, out=other)
            growth *= other
            turn *= other
            turn += 2 * math.pi * (output.carrier - centre)
            _products(growth, growth, turn, turn, np.add, other, np.empty_like(other))
            kept = np.flatnonzero(np.less(other, (math.pi * width) ** 2, out=self._kept))
        later = growth.take(kept) * (1 / (2 * math.pi * width) ** 2)
        later += output.instants.take(kept)
        self._scatter(later, turn.take(kept) * (1 / (2 * math.pi)) + centre, power.take(kept))

    def _scatter(self, later: np.ndarray, higher: np.ndarray, power: np.ndarray) -> None:
        """Add powers up in the cells of their instants (samples, from 1) and frequencies (cycles per sample)."""
        grid = self._grid
        inside = (higher > grid.fmin) & (higher < grid.fmax) & (later >= 1) & (later < self._samples)
        column = np.rint(later / grid.hop_length + 0.5) - 1
        with np.errstate(all="ignore"):  # what lies outside may have no logarithm
            row = np.rint(1 - grid.rows_per_octave * np.log2(higher / grid.fmax)) - 1
            cell = torch.from_numpy(np.where(inside, row * self._columns + column, self._nowhere).astype(np.int64))
        self._energy.index_add_(0, cell, torch.from_numpy(power.astype(np.float64)))
        self._visits.index_add_(0, cell, torch.ones_like(cell))


def _products(
    a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray, join: np.ufunc, out: np.ndarray, room: np.ndarray
) -> None:
    """The sum or difference of a b and c d, without a new array."""
    np.multiply(a, b, out=out)
    join(out, np.multiply(c, d, out=room), out=out)
