"""Where the energy of a sound really lies: linear reassignment of a constant-Q spectrogram to a fine grid.

The waveform passes a bank of overlapping Gaussian band-pass filters. For a Gaussian, the slope of a filter's output
tells by how much the energy that it shows at some instant lies off in time and in frequency; it is added up where it
belongs. All of this is done on the CPU, whatever the device of the waveform, a filter at a time in a core's cache.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from soundpost.errors import SettingsError
from soundpost.front_ends.narrow_bands import PRECISIONS, Output, Spectrum, weights

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

    @property
    def real(self) -> torch.dtype:
        """Precision of transforms and sums."""
        return torch.float64 if self.double else torch.float32

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


def compile_for(grid: Grid) -> None:
    """Compile what reassigned needs for such a grid, in one to three seconds and without starting a thread.

    Raises:
        SettingsError: there is no numba, or none that works with this numpy.
    """
    _landing().compile_for(PRECISIONS[grid.real].taps // 2, np.dtype(np.float64 if grid.double else np.float32))


def _landing() -> ModuleType:
    """The compiled part, imported late: numba takes a fifth of a second, and nothing else needs it."""
    try:
        from soundpost.front_ends import landing
    except ImportError as error:
        raise SettingsError(
            f"reassigned pictures are computed by numba, which cannot be used here ({error}). Install one that fits "
            "this numpy, as Kaggle's image has it, or leave out the recipes that draw them."
        ) from error
    return landing


def _piece(waveform: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
    """Energy and visits of a waveform that is taken at once."""
    spectrum = Spectrum(waveform, grid.real)
    cells = _Cells(grid, waveform.shape[0])
    for (centre, width), output in zip(grid.filters(), spectrum.outputs(grid.filters()), strict=True):
        cells.add(centre, width, output)
    return cells.energy, cells.visits


class _Cells:
    """The grid over one waveform, and what has been added up in it."""

    def __init__(self, grid: Grid, samples: int) -> None:
        self._grid, self._samples = grid, samples
        self._columns = grid.columns(samples)
        self._cells = grid.rows * self._columns
        self._landing = _landing()
        self._energy = np.zeros(self._cells + self._landing.ELSEWHERE)
        self._visits = np.zeros(self._cells + self._landing.ELSEWHERE, np.int64)
        self._half = PRECISIONS[grid.real].taps // 2
        # The frequency below which each row but the first begins, in cycles per sample.
        self._borders = grid.fmax * 2 ** (-(np.arange(grid.rows - 1) + 0.5) / grid.rows_per_octave)

    @property
    def energy(self) -> Tensor:
        """(rows, columns) float64."""
        return torch.from_numpy(self._energy[: self._cells]).view(self._grid.rows, self._columns)

    @property
    def visits(self) -> Tensor:
        """(rows, columns) int64."""
        return torch.from_numpy(self._visits[: self._cells]).view(self._grid.rows, self._columns)

    def add(self, centre: float, width: float, output: Output) -> None:
        """Add the output of one filter where it belongs.

        With a + ib the output's slope over the output, the energy seen at sample n by the filter of centre c and width
        s (in cycles per sample) lies at sample n + a / (2 pi s)^2 and at frequency c + b / (2 pi). What would move by
        half a width or more is left out.
        """
        grid, turn = self._grid, 2 * math.pi
        numbers = (
            turn * (output.carrier - centre), (math.pi * width) ** 2, (turn * width) ** -2,
            turn * (grid.fmin - centre), turn * (grid.fmax - centre), grid.hop_length, self._samples,
        )  # fmt: skip
        # Nothing moves by more than half a width, so few rows come into question.
        first, last = np.searchsorted(-self._borders, (-centre - width / 2, -centre + width / 2))
        real = np.float64 if grid.double else np.float32
        borders = (turn * (self._borders[first:last] - centre)).astype(real)
        where = (np.array(numbers, real), borders, first, self._columns, self._energy, self._visits)
        if output.slope is not None:
            self._landing.in_full(output.signal, output.slope, *where)
        else:
            some = weights(output.stride, grid.real)
            self._landing.between(self._half)(output.signal, some, output.stride, *where)
