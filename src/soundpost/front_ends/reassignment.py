"""Where the energy of a sound really lies: linear reassignment of a constant-Q spectrogram to a fine grid.

The waveform passes a bank of overlapping Gaussian band-pass filters. For a Gaussian, one further transform tells by how
much the energy that a filter shows at some instant lies off in time and in frequency; it is added up where it belongs.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

VALUES_AT_ONCE = 1 << 19  # of one filter output, all filters of one transform together
SAMPLES_AT_ONCE = 1 << 18  # of a waveform; longer ones are taken piece by piece


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
    rows, columns = grid.rows, grid.columns(samples)
    real = torch.float64 if grid.double else torch.float32
    spectrum = torch.fft.fft(waveform.to(real))
    frequency = torch.arange(samples, dtype=torch.float64, device=device) / samples
    frequency -= (frequency > 0.5).double()  # half the sample rate itself counts as positive
    instant = torch.arange(1, samples + 1, device=device, dtype=real)
    energy = torch.zeros(rows * columns + 1, dtype=torch.float64, device=device)
    visits = torch.zeros(rows * columns + 1, dtype=torch.int64, device=device)
    lines = torch.arange(rows * grid.filters_per_row, dtype=torch.float64, device=device)
    centres = grid.fmin * 2 ** (lines / (grid.filters_per_row * grid.rows_per_octave))
    for centre in centres[:, None].split(max(1, VALUES_AT_ONCE // samples)):
        width = centre / (2 * math.pi * grid.q)
        # Twelve widths away a filter has fallen to 5e-32; following it further down into denormal numbers costs time.
        offset = ((frequency - centre) / width).clamp_(-12, 12).to(real)
        seen = spectrum * torch.exp(-0.5 * offset * offset)
        seen, moved = torch.fft.ifft(torch.stack([seen, seen * -offset]))
        alike = seen.conj()
        power = (seen * alike).real
        shift = torch.view_as_real((moved * alike).div_(power))
        lower, late = shift[..., 0], shift[..., 1]
        later = torch.addcmul(instant, late, 1 / (2 * math.pi * width).to(real))
        higher = centre.to(real) - width.to(real) * lower
        kept = torch.addcmul(lower * lower, late, late) < 0.25
        kept &= (higher > grid.fmin) & (higher < grid.fmax) & (later >= 1) & (later < samples)
        kept = kept.flatten().nonzero().squeeze(1)
        power, later, higher = power.reshape(-1)[kept], later.flatten()[kept], higher.flatten()[kept]
        column = torch.round(later / grid.hop_length + 0.5).long() - 1
        row = torch.round(1 - grid.rows_per_octave * torch.log2(higher / grid.fmax)).long() - 1
        cell = row * columns + column
        energy += torch.bincount(cell, power.double(), rows * columns + 1)
        visits += torch.bincount(cell, minlength=rows * columns + 1)
    return energy[:-1].view(rows, columns), visits[:-1].view(rows, columns)
