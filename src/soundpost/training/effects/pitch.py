"""Pitch without tempo, and tempo without pitch: segments that fit together, overlapped and added.

Source: WSOLA, Verhelst and Roelands 1993, with the sizes and the search of SoX 14.4.2's tempo and pitch.
"""

from dataclasses import dataclass
from math import ceil

import torch
from torch import Tensor

from soundpost.training.effects.speed import resampled


@dataclass(frozen=True)
class Segments:
    """Sizes in milliseconds; the defaults are the program's for pitch."""

    segment_ms: float = 82.0
    search_ms: float = 14.68  # within which the best place of the next segment is looked for
    overlap_ms: float = 12.0


def pitch(waveform: Tensor, cents: float, rate: int, segments: Segments | None = None) -> Tensor:
    """The waveform higher (cents > 0) or lower, as long as before.

    Args:
        waveform: (channels, samples) in [-1, 1].
        cents: hundredths of a semitone.
        rate: Hz.
        segments: sizes.

    Returns:
        (channels, samples) float32.
    """
    ratio = 2 ** (cents / 1200)
    longer = tempo(waveform, 1 / ratio, rate, segments)
    out = resampled(longer, ratio)[:, : waveform.shape[-1]]
    missing = waveform.shape[-1] - out.shape[-1]
    return torch.nn.functional.pad(out, (0, missing)).clamp(-1, 1)


def tempo(waveform: Tensor, factor: float, rate: int, segments: Segments | None = None) -> Tensor:
    """The waveform played faster (factor > 1) or slower at its own pitch.

    Args:
        waveform: (channels, samples).
        factor: how many times as fast.
        rate: Hz.
        segments: sizes.

    Returns:
        (channels, round(samples / factor)) float32.
    """
    sizes = segments or Segments()
    segment = int(rate * sizes.segment_ms / 1000 + 0.5)
    search = int(rate * sizes.search_ms / 1000 + 0.5)
    overlap = int(max(rate * sizes.overlap_ms / 1000 + 4.5, 16)) // 8 * 8
    if overlap * 2 > segment:
        overlap -= 8
    wanted = int(waveform.shape[-1] / factor + 0.5)
    step = segment - overlap
    count = ceil(wanted / step) + 1
    room = ceil(factor * count * step) + segment + search
    line = torch.nn.functional.pad(waveform, (search // 2, max(0, room - waveform.shape[-1])))
    fade = torch.arange(overlap, device=waveform.device, dtype=waveform.dtype) / overlap
    pieces: list[Tensor] = []
    tail = line[:, :0]
    for number in range(count):
        begin = int(factor * number * step + 0.5)
        if number:
            begin += _best_place(line[:, begin : begin + search + overlap], tail)
            head = line[:, begin : begin + overlap]
            pieces.append(tail * (1 - fade) + head * fade)
        else:
            begin += search // 2
            pieces.append(line[:, begin : begin + overlap])
        pieces.append(line[:, begin + overlap : begin + step])
        tail = line[:, begin + step : begin + segment]
    return torch.cat(pieces, 1)[:, :wanted]


def _best_place(window: Tensor, tail: Tensor) -> int:
    """Where in the window (channels, search + overlap) what comes next differs least from the tail."""
    starts = window.unfold(1, tail.shape[1], 1)[:, :-1]
    return int(((starts.double() - tail[:, None].double()) ** 2).sum((0, 2)).argmin())
