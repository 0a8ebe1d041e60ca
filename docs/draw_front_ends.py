"""Draws the pictures of docs/front_ends.md: one synthesised clip as every front end shows it.

    python docs/draw_front_ends.py

writes docs/front_ends/<front end>.png. Needs matplotlib; computes for about half a minute.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "src"))

from soundpost.front_ends import FRONT_ENDS  # noqa: E402
from soundpost.registry import pick  # noqa: E402

SECONDS = 2.0
SHOWN: dict[str, tuple[str, int, dict[str, Any]]] = {  # file -> front end, sample rate in Hz, settings
    "log_mel": ("log_mel", 44100, {}),
    "picture": ("picture", 16000, {}),
    "picture_colours": ("picture", 44100, {"n_fft": 4480, "hop_length": 746, "n_mels": 672, "colours": 3}),
    "pcen": ("pcen", 44100, {}),
    "log_stft": ("log_stft", 44100, {}),
    "axis_picture": ("axis_picture", 22050, {"axis": "log", "loudness": "db"}),
    "reassigned_picture": ("reassigned_picture", 22050, {"q": 4.0}),
    "picture_stack": ("picture_stack", 22050, {}),
}


def clip(sample_rate: int) -> Tensor:
    """(1, samples): a rising chirp, a steady chord, five clicks and faint noise."""
    t = np.arange(int(SECONDS * sample_rate)) / sample_rate
    chirp = 0.3 * np.sin(2 * np.pi * (200 * t + 1200 * t**2)) * (t < 1.6)
    chord = 0.1 * sum(np.sin(2 * np.pi * hertz * t) for hertz in (220, 440, 660, 880)) * (t > 0.4)
    clicks = np.zeros_like(t)
    clicks[(np.array([0.2, 0.6, 1.0, 1.4, 1.8]) * sample_rate).astype(int)] = 0.9
    noise = 0.002 * np.random.default_rng(0).standard_normal(len(t))
    return torch.from_numpy((chirp + chord + clicks + noise).astype(np.float32))[None]


def to_pixels(spectrogram: np.ndarray) -> np.ndarray:
    """(channels, bins, frames) -> (rows, columns[, 3]), the highest frequency on top, 8 bits."""
    drawn = spectrogram.shape[1:] == (224, 224)  # by a front end that puts the highest frequency on top itself
    picture = spectrogram.transpose(1, 2, 0) if drawn else spectrogram.transpose(1, 2, 0)[::-1]
    low, high = (0, 255) if drawn else (picture.min(), picture.max())
    picture = (255 * (picture - low) / (high - low)).astype(np.uint8)
    return picture if picture.shape[2] == 3 else picture[:, :, 0]


def main() -> None:
    """Draw all of them."""
    from matplotlib import image

    (HERE / "front_ends").mkdir(exist_ok=True)
    for file, (name, sample_rate, settings) in SHOWN.items():
        front_end = pick(FRONT_ENDS, name, "front end")
        spectrogram = front_end(front_end.Settings(**settings))(clip(sample_rate))[0].numpy()
        path = HERE / "front_ends" / f"{file}.png"
        image.imsave(path, to_pixels(spectrogram), cmap="magma")
        values = f"{spectrogram.min():.1f} to {spectrogram.max():.1f}"
        print(f"{path.relative_to(HERE.parent)}: {spectrogram.shape}, {values}")


if __name__ == "__main__":
    main()
