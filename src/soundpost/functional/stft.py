"""Short-time power spectra of one waveform, in stretches of frames that stay in the cache.

Every clip is computed alone, in stretches that begin at the same frames whatever else is asked for, so a clip's
spectrogram has the same bits alone and in any batch. Nothing is as long as the clip but the waveform and the result.
"""

import functools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from soundpost.errors import SettingsError, ShapeError

STRETCH_VALUES = 1 << 19  # amplitudes windowed at once on a CPU: 2 MiB, and their spectra as much again
STRETCH_VALUES_DEVICE = 1 << 24  # elsewhere launches cost more than memory traffic
PAD_MODES = ("reflect", "constant", "same")


@dataclass(frozen=True)
class Framing:
    """Where the frames of a short-time Fourier transform lie.

    "reflect" and "constant" centre frame t on sample t * hop_length, with n_fft // 2 mirrored samples or zeros at both
    ends: frames = 1 + samples // hop_length. "same" spreads zeros evenly: frames = ceil(samples / hop_length).
    """

    n_fft: int  # samples of a frame and of its periodic Hann window
    hop_length: int  # samples from one frame to the next
    pad_mode: str = "reflect"  # librosa until 0.8 and torch: "reflect"; librosa since 0.9: "constant"; Keras: "same"
    double: bool = False  # transform in float64: for bins far quieter than the loudest of their frame
    win_length: int = 0  # samples of the Hann window, in the middle of the frame; 0: the whole frame

    def __post_init__(self) -> None:
        if self.pad_mode not in PAD_MODES:
            known = ", ".join(PAD_MODES)
            raise SettingsError(f"pad_mode '{self.pad_mode}' is not known; known: {known}. Correct [front_end].")
        if self.n_fft < 2 or self.hop_length < 1:
            raise SettingsError(f"n_fft {self.n_fft}, hop_length {self.hop_length}. Give lengths in samples.")
        if not 0 <= self.win_length <= self.n_fft:
            raise SettingsError(f"win_length {self.win_length} with n_fft {self.n_fft}. Give at most n_fft samples.")

    def frames(self, samples: int) -> int:
        """How many frames a waveform of that many samples has."""
        if self.pad_mode == "same":
            return -(-samples // self.hop_length)
        return 1 + samples // self.hop_length

    def first_sample(self, samples: int) -> int:
        """Where frame 0 begins; negative, as it begins in the padding."""
        if self.pad_mode == "same":
            return -(max(0, (self.frames(samples) - 1) * self.hop_length + self.n_fft - samples) // 2)
        return -(self.n_fft // 2)


def power_spectra(waveform: Tensor, framing: Framing) -> Iterator[tuple[int, Tensor]]:
    """Stretch by stretch, its first frame and the power spectra of its frames.

    Squaring in place and one strided sum take a tenth of the time of abs, which guards against overflow.

    Args:
        waveform: (samples,) float32.
        framing: where the frames lie.

    Yields:
        First frame, and (frames, n_fft // 2 + 1) squared magnitudes, float32, in memory that the next stretch
        overwrites.
    """
    n_fft, hop, samples, device = framing.n_fft, framing.hop_length, waveform.shape[0], waveform.device
    real = torch.float64 if framing.double else torch.float32
    window = hann(n_fft, real, device, framing.win_length)
    n_frames, origin = framing.frames(samples), framing.first_sample(samples)
    values = STRETCH_VALUES if device.type == "cpu" else STRETCH_VALUES_DEVICE
    # All stretches are equally long: a short rest would cost nearly as much as a full one.
    n_stretches = -(-n_frames // max(1, values // n_fft))
    step = -(-n_frames // n_stretches)
    power = _borrowed(step * (n_fft // 2 + 1), torch.float32, device)
    windowed = _borrowed(step * n_fft, real, device)
    for first in range(0, n_frames, step):
        count = min(step, n_frames - first)
        begin = origin + first * hop
        piece = padded(waveform, begin, begin + (count - 1) * hop + n_fft, framing.pad_mode)
        frames = torch.mul(piece.unfold(0, n_fft, hop), window, out=windowed[: count * n_fft].view(count, n_fft))
        squares = torch.view_as_real(torch.fft.rfft(frames)).square_()
        out = power[: count * (n_fft // 2 + 1)].view(count, n_fft // 2 + 1)
        yield first, torch.add(squares[..., 0], squares[..., 1], out=out)
    if device.type == "cpu":  # elsewhere torch itself keeps what is given back
        _spare.extend((windowed, power))


# Memory of spectra that are finished, for the next ones: fresh pages cost as much as the transforms that fill them.
_spare: deque[Tensor] = deque(maxlen=4)


def _borrowed(count: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """(count or more,) values, not initialised; whoever takes them is the only one to have them."""
    while _spare:
        try:
            found = _spare.pop()
        except IndexError:  # another thread was faster
            break
        if found.numel() >= count and (found.dtype, found.device) == (dtype, device):
            return found
    with torch.inference_mode(False):  # what is made in that mode could not be written to outside it
        return torch.empty(count, dtype=dtype, device=device)


def padded(waveform: Tensor, start: int, end: int, pad_mode: str) -> Tensor:
    """Samples start ... end of a waveform (samples,) that is continued at both ends by mirroring, or by zeros.

    Mirroring repeats as often as it takes, so one sample is enough; the sample at the edge is not doubled.
    """
    samples = waveform.shape[0]
    if start >= 0 and end <= samples:
        return waveform[start:end]
    inside = waveform[max(0, start) : max(0, end)]
    before = min(max(0, -start), end - start)
    after = end - start - before - inside.shape[0]
    if pad_mode != "reflect":
        return F.pad(inside, (before, after))
    return torch.cat([_mirrored(waveform, start, before), inside, _mirrored(waveform, end - after, after)])


def _mirrored(waveform: Tensor, start: int, count: int) -> Tensor:
    """Samples start ... start + count of a waveform that goes back and forth between its first and last sample."""
    last = waveform.shape[0] - 1
    there = torch.arange(start, start + count, device=waveform.device).remainder_(max(1, 2 * last))
    return waveform[torch.minimum(there, 2 * last - there) if last else there]


@functools.lru_cache(maxsize=32)
def hann(n_fft: int, dtype: torch.dtype, device: torch.device, win_length: int = 0) -> Tensor:
    """The periodic Hann window, (n_fft,); one of win_length samples stands in the middle, between zeros."""
    length = win_length or n_fft
    window = torch.hann_window(length, periodic=True, dtype=torch.float64)
    before = (n_fft - length) // 2
    return F.pad(window, (before, n_fft - length - before)).to(device, dtype)


def check_waveforms(waveforms: Tensor) -> None:
    """Raise ShapeError unless the axes are (batch, samples) with one sample or more."""
    if waveforms.dim() != 2 or waveforms.shape[1] == 0:
        raise ShapeError(
            f"waveforms of shape {tuple(waveforms.shape)}: (batch, samples) with one sample or more is needed. "
            "Stack clips of equal length."
        )
