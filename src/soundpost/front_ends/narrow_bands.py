"""Narrow bands of a long spectrum as signals of a low rate, and how these are read off at every sample.

A filter that lets a hundredth of the spectrum pass has an output that a hundredth of the samples describe. A short
transform gives these; the samples between them, and the slope at all of them, are sums of a few neighbours each, with
weights that repeat. So a few sums in a core's cache replace two transforms of the whole length.
"""

import functools
import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

# Share of a low rate that a band may take up; the rest lets the weights tell the band from its mirror images.
FILL = 0.75

TOGETHER = 4  # filters that are transformed at once
FEWEST = 128  # samples of a signal of a low rate, where there are as many: few fill no block of landing


@dataclass(frozen=True)
class Precision:
    """How exact the outputs are."""

    reach: float  # widths of a Gaussian filter on either side of its centre; beyond it nothing is left of it
    taps: int  # neighbours that make one sample
    beta: float  # the shape of the Kaiser window over them


PRECISIONS = {
    torch.float32: Precision(reach=6.0, taps=18, beta=14.0),  # where the Gaussian has fallen to 1.5e-8
    torch.float64: Precision(reach=9.0, taps=26, beta=24.0),  # 2.6e-18
}


@dataclass(frozen=True)
class Output:
    """What a filter gives, without its carrier."""

    signal: np.ndarray  # (samples / stride,) complex: the output at every stride-th sample
    slope: np.ndarray | None  # (samples,) complex, for each sample, where the stride is 1; else it follows from weights
    stride: int
    carrier: float  # cycles per sample


class Spectrum:
    """The transform of a whole waveform (samples,), from the lowest frequency up."""

    def __init__(self, waveform: Tensor, real: torch.dtype) -> None:
        self._real, self._samples = real, waveform.shape[0]
        self._precision = PRECISIONS[real]
        # Half the sample rate itself counts as positive.
        self._lowest = -((self._samples - 1) // 2)
        self._spectrum = torch.fft.fft(waveform.to(real)).roll(-self._lowest).numpy()
        frequency = torch.arange(self._lowest, self._lowest + self._samples, dtype=torch.float64) / self._samples
        self._frequency = frequency.to(real).numpy()
        turns = np.arange(self._samples) * (2j * math.pi / self._samples)
        self._above, self._below = (each.astype(self._spectrum.dtype) for each in (turns, turns - 2j * math.pi))

    def outputs(self, filters: Iterable[tuple[float, float]]) -> Iterator[Output]:
        """What each Gaussian filter gives, in the order of the filters.

        Args:
            filters: centre and width of each in cycles per sample; neighbours of about the same width are quickest.
        """
        for stride, alike in itertools.groupby(filters, lambda given: self._stride(given[1])):
            while some := list(itertools.islice(alike, TOGETHER)):
                low = np.zeros((len(some), self._samples // stride), self._spectrum.dtype)
                carriers, above = zip(
                    *(self._fill(row, *given) for row, given in zip(low, some, strict=True)), strict=True
                )
                signals = torch.fft.ifft(torch.from_numpy(low)).numpy()
                slopes = self._slopes(low, above) if stride == 1 else [None] * len(some)
                for carrier, signal, slope in zip(carriers, signals, slopes, strict=True):
                    yield Output(signal, slope, stride, carrier)

    def _fill(self, low: np.ndarray, centre: float, width: float) -> tuple[float, int]:
        """Put what a filter lets pass into a spectrum of a low rate, around its first bin.

        Returns:
            The frequency that this takes away, and how many bins lie at it or above; the others stand at the end.
        """
        reach = self._precision.reach * width
        ends = (math.floor((centre + side * reach) * self._samples) - self._lowest for side in (-1, 1))
        first, last = (min(max(0, end), self._samples) for end in ends)
        middle = min(max(first, round(centre * self._samples) - self._lowest), last)
        offset = self._frequency[first:last] - self._frequency.dtype.type(centre)
        offset *= offset
        offset *= -0.5 / width**2
        np.exp(offset, out=offset)
        np.multiply(self._spectrum[middle:last], offset[middle - first :], out=low[: last - middle])
        np.multiply(self._spectrum[first:middle], offset[: middle - first], out=low[len(low) - (middle - first) :])
        return (middle + self._lowest) / self._samples, last - middle

    def _slopes(self, spectra: np.ndarray, above: tuple[int, ...]) -> np.ndarray:
        """Slopes (filters, samples) of outputs whose spectra have the whole length; the spectra are used up.

        A wide filter reaches further down than half the sample rate, so each has its own border between bins above and
        below.
        """
        for spectrum, border in zip(spectra, above, strict=True):
            spectrum[:border] *= self._above[:border]
            spectrum[border:] *= self._below[border:]
        return torch.fft.ifft(torch.from_numpy(spectra)).numpy()

    def _stride(self, width: float) -> int:
        """The most samples of the waveform for one at which a filter's band keeps apart from its mirror images."""
        least = max(2 * self._precision.reach * width * self._samples / FILL, FEWEST)
        return next((stride for stride in _divisors(self._samples) if self._samples // stride >= least), 1)


@functools.lru_cache(maxsize=64)
def _divisors(samples: int) -> tuple[int, ...]:
    """All of them, the largest first."""
    small = [d for d in range(1, math.isqrt(samples) + 1) if samples % d == 0]
    return tuple(sorted({*small, *(samples // d for d in small)}, reverse=True))


@functools.lru_cache(maxsize=256)  # three pictures of one clip have some 80 strides
def weights(stride: int, real: torch.dtype) -> np.ndarray:
    """Weights (stride // 2 + 1, 4 x taps / 2) of the neighbours that make each sample in the first half of a stride.

    A row holds those of the sample for the sums and then for the differences of neighbours equally far on either side,
    and the same of its slope. With minus the differences, and minus the slope, they make the sample that lies as far
    from the other end of the stride.

    Source: the ideal interpolation sin(pi x) / (pi x) under a Kaiser window, and its derivative.
    """
    half, beta = PRECISIONS[real].taps // 2, PRECISIONS[real].beta
    x = torch.arange(stride // 2 + 1, dtype=torch.float64)[:, None] / stride - torch.arange(1 - half, half + 1)
    root = (1 - (x / half).square()).clamp(min=1e-30).sqrt()
    scale = torch.special.i0(torch.tensor(beta, dtype=torch.float64)) * stride
    window = torch.special.i0(beta * root) / scale
    falling = -beta * x / half**2 * torch.special.i1(beta * root) / root / scale
    ideal = torch.sinc(x)
    rising = torch.where(x == 0, 0.0, (torch.cos(math.pi * x) - ideal) / torch.where(x == 0, 1.0, x))
    each = torch.stack([ideal * window, (rising * window + ideal * falling) / stride], 1)
    near, far = each[..., :half], each[..., half:].flip(2)
    return torch.stack([near + far, near - far], 2).div(2).flatten(1).to(real).numpy()
