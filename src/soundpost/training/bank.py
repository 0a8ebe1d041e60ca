"""Labelled clips from a folder and a csv, and their mel powers at several speeds, ready to be composed."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from soundpost.training.interrupt import Paused

AT_ONCE = 1 << 18  # samples whose places at another speed are computed at once, in several arrays of 64 bits
SILENCE = 0.01  # below the peak; what is quieter at a recording's ends is not part of the sound


@dataclass(frozen=True)
class Bank:
    """Mel powers of trimmed sources at several speeds; what a training clip is composed of."""

    powers: Tensor  # (frames, mels) float32: every source at every speed, one behind the other, so nothing is padded
    begins: Tensor  # (speeds, sources) first frame of each
    lengths: Tensor  # (speeds, sources) frames, at least 1
    truth: Tensor  # (sources, classes) float32


def trim(waveform: np.ndarray) -> np.ndarray:
    """The waveform without its near-silent ends and with peak 1; (samples,) -> (fewer samples,)."""
    level = np.abs(waveform)
    peak = level.max(initial=0.0)
    if peak == 0:
        return waveform
    is_loud = level > SILENCE * peak
    return waveform[is_loud.argmax() : len(is_loud) - is_loud[::-1].argmax()] / peak


def at_speed(waveform: Tensor, speed: float) -> Tensor:
    """The waveform (samples,) played faster (speed > 1) or slower, pitch and all; straight lines between samples."""
    if speed == 1:
        return waveform
    last = len(waveform) - 1
    played = waveform.new_empty(max(1, int(len(waveform) / speed)))
    for first in range(0, len(played), AT_ONCE):
        end = min(first + AT_ONCE, len(played))
        at = torch.arange(first, end, device=waveform.device, dtype=torch.float64) * speed
        before = at.long().clamp(max=last)
        after = (before + 1).clamp(max=last)
        played[first:end] = torch.lerp(waveform[before], waveform[after], (at - before).to(waveform.dtype))
    return played


def build_bank(
    waveforms: Iterable[np.ndarray],
    truth: np.ndarray,
    front_end: Callable[[Tensor], Tensor],
    speeds: Sequence[float],
    device: torch.device,
    is_time: Callable[[], bool] = lambda: False,
) -> Bank:
    """Mel powers of every waveform, trimmed, at every speed. They are not kept on the disk.

    Args:
        waveforms: one (samples,) per source; one at a time is held.
        truth: (sources, classes).
        front_end: (batch, samples) -> (batch, 1, mels, frames) in dB.
        speeds: 1 is the recording's own.
        device: where the bank lives.
        is_time: whether to stop before the next waveform.

    Raises:
        Paused: it was time.
    """
    parts: list[Tensor] = []
    for waveform in tqdm(waveforms, desc="mel powers", unit="clip", total=len(truth)):
        if is_time():
            raise Paused(f"mel powers, {len(parts) // len(speeds)} of {len(truth)} clips")
        trimmed = torch.from_numpy(trim(waveform)).to(device)
        parts += [10 ** (front_end(at_speed(trimmed, speed)[None])[0, 0].T / 10) for speed in speeds]
    lengths = torch.tensor([len(part) for part in parts], device=device)
    begins = lengths.cumsum(0) - lengths
    shape = len(truth), len(speeds)
    return Bank(torch.cat(parts), begins.view(shape).T, lengths.view(shape).T, torch.from_numpy(truth).to(device))
