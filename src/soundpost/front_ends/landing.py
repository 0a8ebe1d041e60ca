"""What one filter shows, added up in the cells where it belongs: compiled code, for all of it is in single samples.

A block of samples at a time goes through all steps and never leaves the core's nearest cache. Every loop over a block
has one length known beforehand, which lets the compiler use the widest instructions that the processor has; only the
adding up goes sample by sample. Nothing here starts a thread, and the order of sums is fixed: the same signal gives
the same bits.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

BLOCK = 64  # samples
ELSEWHERE = 8  # cells behind the last one that take in turn what falls nowhere, so that no addition waits for another

# Products may be fused with sums; infinities and what is no number keep their meaning, as silence has them.
compiled = njit(error_model="numpy", fastmath={"contract"})


@compiled
def _reassign(parts: np.ndarray, start: float, steps: np.ndarray, numbers: np.ndarray) -> None:
    """Outputs and slopes of a block -> power, move in frequency and column + 1, in their place.

    Where nothing is kept the move is infinite.
    """
    one, infinity = numbers.dtype.type(1), numbers.dtype.type(np.inf)
    half = numbers.dtype.type(0.5)
    carrier, limit, stretch, low, high, hop_length, last = (
        numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5], numbers[6]
    )  # fmt: skip
    for k in range(BLOCK):
        real, imaginary = parts[k], parts[2 * BLOCK + k]
        real_slope, imaginary_slope = parts[BLOCK + k], parts[3 * BLOCK + k]
        power = real * real + imaginary * imaginary
        inverse = one / power
        growth = (real * real_slope + imaginary * imaginary_slope) * inverse
        turn = (real * imaginary_slope - imaginary * real_slope) * inverse + carrier
        later = growth * stretch + (start + steps[k])
        kept = (growth * growth + turn * turn < limit) & (turn > low) & (turn < high) & (later >= one) & (later < last)
        parts[k] = power
        parts[BLOCK + k] = turn if kept else infinity
        parts[2 * BLOCK + k] = np.rint(later / hop_length + half) if kept else one


@compiled
def _find(
    parts: np.ndarray, borders: np.ndarray, first_row: int, columns: int, nowhere: int, cells: np.ndarray
) -> None:
    """The cell of every sample of a block, from its move in frequency and its column + 1."""
    for k in range(BLOCK):
        is_kept = parts[BLOCK + k] < np.inf
        cells[k] = first_row * columns - 1 + np.int32(parts[2 * BLOCK + k]) if is_kept else nowhere + k % ELSEWHERE
    for border in borders:
        for k in range(BLOCK):
            cells[k] += columns if parts[BLOCK + k] < border else 0


@compiled
def _land(
    parts: np.ndarray, start: float, steps: np.ndarray, count: int, numbers: np.ndarray, borders: np.ndarray,
    first_row: int, columns: int, cells: np.ndarray, energy: np.ndarray, visits: np.ndarray,
) -> None:  # fmt: skip
    """Add up the first count samples of a block."""
    _reassign(parts, start, steps, numbers)
    _find(parts, borders, first_row, columns, len(energy) - ELSEWHERE, cells)
    for k in range(count):
        cell = cells[k]
        energy[cell] += parts[k]
        visits[cell] += 1


@compiled
def in_full(
    output: np.ndarray, slope: np.ndarray, numbers: np.ndarray, borders: np.ndarray,
    first_row: int, columns: int, energy: np.ndarray, visits: np.ndarray,
) -> None:  # fmt: skip
    """Add up what a filter shows whose output and slope are there at every sample.

    Args:
        output: (samples,) complex, without its carrier.
        slope: (samples,) complex, of the output, for each sample.
        numbers: what the carrier lies above the centre; half a width, squared; how much later energy lies for each unit
            of relative growth; lowest and highest frequency, above the centre; samples in a cell; samples. Frequencies
            are in radians for each sample.
        borders: between rows, from the first one down, as frequencies above the centre, in radians for each sample.
        first_row: the highest in which anything can lie.
        columns: cells in a row.
        energy: (cells + ELSEWHERE,) float64.
        visits: (cells + ELSEWHERE,) int64.
    """
    parts, cells = np.zeros(4 * BLOCK, numbers.dtype), np.empty(BLOCK, np.int32)
    steps = np.arange(BLOCK).astype(numbers.dtype)
    for begin in range(0, len(output), BLOCK):
        count = min(BLOCK, len(output) - begin)
        here, rising = output[begin : begin + count], slope[begin : begin + count]
        for k in range(count):
            parts[k], parts[2 * BLOCK + k] = here[k].real, here[k].imag
            parts[BLOCK + k], parts[3 * BLOCK + k] = rising[k].real, rising[k].imag
        start = numbers.dtype.type(1 + begin)
        _land(parts, start, steps, count, numbers, borders, first_row, columns, cells, energy, visits)


@functools.cache
def between(half: int) -> Callable[..., None]:
    """The function that adds up what a filter shows whose output is there at a low rate.

    Args:
        half: neighbours on either side that make a sample; the compiler wants to know.
    """

    @compiled
    def add_up(
        output: np.ndarray, weights: np.ndarray, stride: int, numbers: np.ndarray, borders: np.ndarray,
        first_row: int, columns: int, energy: np.ndarray, visits: np.ndarray,
    ) -> None:  # fmt: skip
        """As in_full, of an output with one sample for every stride; weights are those of narrow_bands.weights."""
        parts, cells = np.empty(8 * BLOCK, numbers.dtype), np.empty(BLOCK, np.int32)
        sums = np.empty(4 * half * BLOCK, numbers.dtype)
        steps = (stride * np.arange(BLOCK)).astype(numbers.dtype)
        around = _around(output, half, numbers)
        for begin in range(0, len(output), BLOCK):
            count = min(BLOCK, len(output) - begin)
            _pair(around, begin, half, sums)
            for phase in range(len(weights)):
                interpolate(sums, weights[phase], parts)
                for side in range(1 if phase in (0, stride - phase) else 2):
                    first = stride * begin + (stride - phase if side else phase)
                    _land(
                        parts[4 * side * BLOCK :], numbers.dtype.type(1 + first), steps, count, numbers, borders,
                        first_row, columns, cells, energy, visits,
                    )  # fmt: skip

    interpolate = _interpolation(half)
    return add_up


def compile_for(half: int, real: np.dtype) -> None:
    """Compile what outputs of this precision need.

    Args:
        half: as in between.
        real: float32 or float64, as real and imaginary parts are.
    """
    silence = np.zeros(2 * half, np.result_type(real, np.complex64))
    grid = (np.zeros(7, real), np.zeros(0, real), 0, 1, np.zeros(1 + ELSEWHERE), np.zeros(1 + ELSEWHERE, np.int64))
    in_full(silence, silence, *grid)
    between(half)(silence, np.zeros((1, 4 * half), real), 1, *grid)


@compiled
def _around(output: np.ndarray, half: int, numbers: np.ndarray) -> np.ndarray:
    """Real and imaginary parts (2, low samples + neighbours) of a signal that goes on at its other end."""
    around = np.zeros((2, len(output) + 2 * half - 1 + BLOCK), numbers.dtype)
    for i in range(len(output) + 2 * half - 1):
        value = output[(i - half + 1) % len(output)]
        around[0, i], around[1, i] = value.real, value.imag
    return around


@compiled
def _pair(around: np.ndarray, begin: int, half: int, sums: np.ndarray) -> None:
    """Sums and differences of the neighbours that lie equally far on either side of the middle between two samples.

    They stand in sums as (real and imaginary, sum and difference, half, BLOCK).
    """
    for part in range(2):
        for t in range(half):
            near, far = around[part, begin + t :], around[part, begin + 2 * half - 1 - t :]
            even, odd = sums[(2 * part * half + t) * BLOCK :], sums[((2 * part + 1) * half + t) * BLOCK :]
            for k in range(BLOCK):
                even[k] = near[k] + far[k]
                odd[k] = near[k] - far[k]


def _interpolation(half: int) -> Any:
    """The function that makes the samples of a phase and of its mirror image from sums and differences."""

    @compiled
    def interpolate(sums: np.ndarray, weights: np.ndarray, parts: np.ndarray) -> None:
        """Outputs and slopes (2, 4, BLOCK): what is weighted alike in both images, plus and minus the rest."""
        zero = weights.dtype.type(0)
        for k in range(BLOCK):
            real, imaginary, real_rest, imaginary_rest = zero, zero, zero, zero
            rising, imaginary_rising, rising_rest, imaginary_rising_rest = zero, zero, zero, zero
            for t in range(half):
                even, odd = sums[t * BLOCK + k], sums[(half + t) * BLOCK + k]
                imaginary_even, imaginary_odd = sums[(2 * half + t) * BLOCK + k], sums[(3 * half + t) * BLOCK + k]
                real += weights[t] * even
                imaginary += weights[t] * imaginary_even
                real_rest += weights[half + t] * odd
                imaginary_rest += weights[half + t] * imaginary_odd
                rising += weights[2 * half + t] * even
                imaginary_rising += weights[2 * half + t] * imaginary_even
                rising_rest += weights[3 * half + t] * odd
                imaginary_rising_rest += weights[3 * half + t] * imaginary_odd
            parts[k], parts[4 * BLOCK + k] = real + real_rest, real - real_rest
            parts[BLOCK + k], parts[5 * BLOCK + k] = rising_rest + rising, rising_rest - rising
            parts[2 * BLOCK + k], parts[6 * BLOCK + k] = imaginary + imaginary_rest, imaginary - imaginary_rest
            parts[3 * BLOCK + k] = imaginary_rising_rest + imaginary_rising
            parts[7 * BLOCK + k] = imaginary_rising_rest - imaginary_rising

    return interpolate
