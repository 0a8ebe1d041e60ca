"""One window of a spectrogram, whatever lies beyond the clip filled with one value; and where windows may lie."""

from itertools import pairwise

from torch import Tensor
from torch.nn import functional as F

# Fractions of the golden ratio and of the roots of 2 and 3: their multiples fill the interval evenly, for every count.
STEPS = (0.6180339887498949, 0.41421356237309503, 0.7320508075688772)


def crop(spectrogram: Tensor, start: int, frames: int, fill: float = 0.0) -> Tensor:
    """Frames start ... start + frames of (channels, bins, frames); those beyond either end are fill."""
    length = spectrogram.shape[-1]
    first, last = min(max(0, start), length), min(max(0, start + frames), length)
    piece = spectrogram[..., first:last]
    if piece.shape[-1] == frames:
        return piece
    before = min(max(0, -start), frames)
    return F.pad(piece, (before, frames - before - piece.shape[-1]), value=fill)


def spread(index: int, axis: int) -> float:
    """A number in [0, 1) that stands in for a random draw: the index-th of a sequence that fills the interval evenly.

    Args:
        index: which draw, from 0.
        axis: which of up to three quantities that are drawn together.
    """
    return (0.5 + index * STEPS[axis]) % 1.0


def starts(frames: int, width: int, count: int) -> tuple[int, ...]:
    """Where count windows of that width start, evenly over all places; a shorter clip lies all over its window.

    The middle of each of count equal parts of the range of starts: one window is the middle of the clip.
    """
    room = frames - width  # negative: zeros that lie before and behind the clip
    places = [round(abs(room) * (2 * i + 1) / (2 * count)) for i in range(count)]
    return tuple(places if room >= 0 else [-place for place in places])


def equal_stretches(frames: int, longest: int) -> tuple[tuple[int, int], ...]:
    """First and last-but-one frame of ceil(frames / longest) stretches that differ by at most one frame."""
    count = max(1, -(-frames // longest))
    return tuple(pairwise(frames * i // count for i in range(count + 1)))
