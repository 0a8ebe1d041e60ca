"""Where the energy of a sound really lies: linear reassignment of a constant-Q spectrogram to a fine grid.

The waveform passes a bank of overlapping Gaussian band-pass filters. For a Gaussian, one further transform tells by how
much the energy that a filter shows at some instant lies off in time and in frequency; it is added up where it belongs.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

REACH = 12  # widths of a filter on either side of its centre, where it has fallen to 5e-32
SAMPLES_AT_ONCE = 1 << 18  # a longer waveform is taken piece by piece


@dataclass(frozen=True)
class Grid:
    """The cells that energy is added up in, and the filters that it is looked for with."""

    q: float  # cycles in a standard deviation of a filter's impulse response
    hop_length: int  # samples; length of a cell
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
    pieces = waveform.split(SAMPLES_AT_ONCE // grid.hop_length * grid.hop_length)
    energies, visits = zip(*(_piece(piece, grid) for piece in pieces), strict=True)
    return torch.cat(energies, 1), torch.cat(visits, 1)


def _piece(waveform: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
    """With X the transform of the whole waveform, c and s the centre and width of a filter G (in cycles per sample), D
    its derivative times s, and mu the ratio of what D and G leave of X at sample n: the energy seen there lies at
    sample n + Im mu / (2 pi s) and at frequency c - s Re mu. What would move by half a width or more is left out.
    """
    samples, device = waveform.shape[0], waveform.device
    rows, columns, nowhere = grid.rows, grid.columns(samples), grid.rows * grid.columns(samples)
    real = torch.float64 if grid.double else torch.float32
    # From the lowest frequency up, so that a filter is one slice. That gives all outputs of a filter the same phase,
    # which neither their ratio nor their power knows. Half the sample rate itself counts as positive.
    lowest = -((samples - 1) // 2)
    spectrum = torch.fft.fft(waveform.to(real)).roll(-lowest)
    frequency = torch.arange(lowest, lowest + samples, device=device).to(real) / samples
    instant = torch.arange(1, samples + 1, device=device).to(real)
    energy = torch.zeros(nowhere + 1, dtype=torch.float64, device=device)
    visits = torch.zeros(nowhere + 1, dtype=torch.int64, device=device)
    filtered = spectrum.new_zeros(2, samples)
    for line in range(rows * grid.filters_per_row):
        centre = grid.fmin * 2 ** (line / (grid.filters_per_row * grid.rows_per_octave))
        width = centre / (2 * math.pi * grid.q)
        ends = (math.floor((centre + side * REACH * width) * samples) - lowest for side in (-1, 1))
        bins = slice(*(min(max(0, end), samples) for end in ends))
        offset = (frequency[bins] - centre) / width
        torch.mul(spectrum[bins], torch.exp(-0.5 * offset * offset), out=filtered[0, bins])
        torch.mul(filtered[0, bins], -offset, out=filtered[1, bins])
        seen, moved = torch.fft.ifft(filtered)
        filtered[:, bins] = 0
        power, moved_power = (squared(output) for output in (seen, moved))
        kept = torch.nonzero(moved_power < 0.25 * power).squeeze(1)
        power, alike = power[kept], seen[kept].conj()
        shift = torch.view_as_real(moved[kept].mul_(alike).div_(power))
        later = instant[kept] + shift[:, 1] / (2 * math.pi * width)
        higher = centre - width * shift[:, 0]
        inside = (higher > grid.fmin) & (higher < grid.fmax) & (later >= 1) & (later < samples)
        column = torch.round(later / grid.hop_length + 0.5).long() - 1
        row = torch.round(1 - grid.rows_per_octave * torch.log2(higher / grid.fmax)).nan_to_num_(0.0).long() - 1
        cell = torch.where(inside, row * columns + column, nowhere)
        energy.index_add_(0, cell, power.double())
        visits.index_add_(0, cell, torch.ones_like(cell))
    return energy[:-1].view(rows, columns), visits[:-1].view(rows, columns)


def squared(output: Tensor) -> Tensor:
    """Squared magnitude of a complex array; faster than abs, which guards against overflow."""
    parts = torch.view_as_real(output).square()
    return parts[..., 0] + parts[..., 1]
