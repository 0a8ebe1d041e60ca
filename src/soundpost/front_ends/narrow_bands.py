"""Narrow bands of a long spectrum as signals: transformed at a low rate, then read off at every sample.

A filter that lets a hundredth of the spectrum pass has an output that a hundredth of the samples describe. A short
transform gives these; the samples between them, and the slope at all of them, are sums of a few neighbours each, with
weights that repeat. So one small matrix product replaces two transforms of the whole length.
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
    """What a filter gives at every sample of a waveform, in an order of its own."""

    parts: np.ndarray  # (4, samples): real part and its slope, imaginary part and its slope, all without the carrier
    instants: np.ndarray  # (samples,): which sample stands where, counted from 1
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

    def outputs(self, filters: Iterable[tuple[float, float]]) -> Iterator[Output]:
        """What each Gaussian filter gives, in the order of the filters.

        Args:
            filters: centre and width of each in cycles per sample; neighbours of about the same width are quickest.
        """
        for stride, alike in itertools.groupby(filters, lambda given: self._stride(given[1])):
            while some := list(itertools.islice(alike, TOGETHER)):
                low = np.zeros((len(some), self._samples // stride), self._spectrum.dtype)
                carriers = [self._fill(row, *given) for row, given in zip(low, some, strict=True)]
                parts = self._in_full(low) if stride == 1 else self._between(low, stride)
                instants = _instants(self._samples, stride, self._real)
                for carrier, of_filter in zip(carriers, parts.numpy(), strict=True):
                    yield Output(of_filter, instants, carrier)

    def _fill(self, low: np.ndarray, centre: float, width: float) -> float:
        """Put what a filter lets pass into a spectrum of a low rate, around its first bin; the frequency taken away."""
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
        return (middle + self._lowest) / self._samples

    def _in_full(self, low: np.ndarray) -> Tensor:
        """Outputs and slopes by two transforms of the whole length, (filters, 4, samples)."""
        spectra = torch.from_numpy(low)
        steps = torch.fft.fftfreq(self._samples, dtype=self._real).mul_(2 * math.pi)
        both = torch.stack([spectra, torch.complex(-steps * spectra.imag, steps * spectra.real)], 1)
        return torch.view_as_real(torch.fft.ifft(both)).permute(0, 3, 1, 2).reshape(len(low), 4, -1)

    def _between(self, low: np.ndarray, stride: int) -> Tensor:
        """Outputs and slopes from signals of a low rate, (filters, 4, samples), in the order of _instants."""
        taps, (filters, count) = self._precision.taps, low.shape
        signal = torch.view_as_real(torch.fft.ifft(torch.from_numpy(low))).movedim(2, 1) / stride
        around = torch.cat([signal[..., count - taps // 2 + 1 :], signal, signal[..., : taps // 2]], 2)
        neighbours = around.unfold(2, count, 1).contiguous()  # (filters, 2, taps, low samples)
        parts = torch.empty(2 * filters, 2 * stride, count, dtype=self._real)
        weights = _weights(stride, self._real)
        for made, near in zip(parts, neighbours.view(2 * filters, taps, count), strict=True):
            torch.mm(weights, near, out=made)
        return parts.view(filters, 4, -1)

    def _stride(self, width: float) -> int:
        """The most samples of the waveform for one at which a filter's band keeps apart from its mirror images."""
        least = max(2 * self._precision.reach * width * self._samples / FILL, self._precision.taps)
        return next((stride for stride in _divisors(self._samples) if self._samples // stride >= least), 1)


@functools.lru_cache(maxsize=64)
def _divisors(samples: int) -> tuple[int, ...]:
    """All of them, the largest first."""
    small = [d for d in range(1, math.isqrt(samples) + 1) if samples % d == 0]
    return tuple(sorted({*small, *(samples // d for d in small)}, reverse=True))


@functools.lru_cache(maxsize=64)
def _instants(samples: int, stride: int, real: torch.dtype) -> np.ndarray:
    """The samples of a waveform, counted from 1, in the order of Spectrum._between."""
    return torch.arange(1, samples + 1).view(-1, stride).T.reshape(-1).to(real).numpy()


@functools.lru_cache(maxsize=64)
def _weights(stride: int, real: torch.dtype) -> Tensor:
    """Weights (2 x stride, taps) of the neighbours that make each sample between two of the low rate, then its slope.

    Source: the ideal interpolation sin(pi x) / (pi x) under a Kaiser window, and its derivative.
    """
    half, beta = PRECISIONS[real].taps // 2, PRECISIONS[real].beta
    x = torch.arange(stride, dtype=torch.float64)[:, None] / stride - torch.arange(1 - half, half + 1)
    root = (1 - (x / half).square()).clamp(min=1e-30).sqrt()
    scale = torch.special.i0(torch.tensor(beta, dtype=torch.float64))
    window = torch.special.i0(beta * root) / scale
    falling = -beta * x / half**2 * torch.special.i1(beta * root) / root / scale
    ideal = torch.sinc(x)
    rising = torch.where(x == 0, 0.0, (torch.cos(math.pi * x) - ideal) / torch.where(x == 0, 1.0, x))
    return torch.cat([ideal * window, (rising * window + ideal * falling) / stride]).to(real)
