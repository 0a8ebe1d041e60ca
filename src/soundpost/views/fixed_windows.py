"""Windows of one fixed length, a hop apart, with the padding rule that the network's makers used."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from soundpost.errors import SettingsError
from soundpost.views.crop import crop
from soundpost.views.view import Window

PADS = ("zeros", "centre", "loop")
TAILS = ("pad", "shift", "drop")


@dataclass(frozen=True)
class FixedWindowsSettings:
    """How long a window is, how far the next one lies, and what becomes of what does not fill one."""

    frames: int = 160_000  # frames of a window; of a waveform, samples: 5 s at 32 kHz
    hop: int = 0  # frames from one window to the next; 0: as long as the window
    pad: str = "zeros"  # a short window goes on as zeros, lies amid them ("centre"), or begins again ("loop")
    tail: str = "pad"  # the rest behind the last full window: padded, shown by one that ends there ("shift"), or "drop"


class FixedWindows:
    """Equally weighted windows; a clip shorter than one is a single window, padded."""

    Settings: ClassVar[type] = FixedWindowsSettings

    def __init__(self, settings: FixedWindowsSettings) -> None:
        if settings.frames < 1 or settings.hop < 0 or settings.pad not in PADS or settings.tail not in TAILS:
            raise SettingsError(
                f"view fixed_windows: {settings}. Give frames from 1, hop from 0, pad out of {', '.join(PADS)}, tail "
                f"out of {', '.join(TAILS)}."
            )
        self.settings = settings

    def windows(self, frames: int) -> tuple[Window, ...]:
        """Windows at 0, hop, 2 hop, ...; the last one by the tail rule where the clip does not end with a window."""
        length, hop = self.settings.frames, self.settings.hop or self.settings.frames
        if frames <= length:
            return (Window(0, length),)
        starts = list(range(0, frames - length + 1, hop))
        is_left = starts[-1] + length < frames
        if is_left and self.settings.tail == "shift":
            starts.append(frames - length)
        elif is_left and self.settings.tail == "pad" and starts[-1] + hop < frames:
            starts.append(starts[-1] + hop)
        return tuple(Window(start, length) for start in starts)

    def cut(self, spectrogram: Tensor, window: Window) -> Tensor:
        """Frames start ... start + frames of (channels, bins, frames); what is missing by the padding rule."""
        piece = spectrogram[..., window.start : window.start + window.frames]
        short = window.frames - piece.shape[-1]
        if not short:
            return piece
        if self.settings.pad == "loop":
            copies = -(-window.frames // piece.shape[-1])
            return torch.cat([piece] * copies, -1)[..., : window.frames]
        return crop(piece, -(short // 2) if self.settings.pad == "centre" else 0, window.frames)

    def prepare(self, batch: Tensor) -> Tensor:
        """The windows as they are."""
        return batch
