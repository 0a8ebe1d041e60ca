"""Which stretch of a decoded waveform a recipe works on: silence cut off, short clips filled, or the loudest moment.

librosa padded frame energies by reflection until 0.8 and pads them with zeros since 0.9; trained weights need the
padding that they were trained with, so it is a setting here, and the energies are computed here.
"""

from typing import Literal

import numpy as np

FRAME_LENGTH = 2048  # samples; frames of the energy by which silence is found
HOP_LENGTH = 512  # samples
FLOOR = 1e-10  # mean square; below it everything is equally silent


def trim(waveform: np.ndarray, top_db: float, pad_mode: str) -> tuple[int, int]:
    """First and one-past-last sample of what is louder than top_db below the loudest frame.

    A waveform of zeros is as loud as its loudest frame everywhere and is kept whole.

    Args:
        waveform: (samples,) float32.
        top_db: dB, positive.
        pad_mode: "reflect" or "constant"; what the frames at both ends see beyond the clip.

    Source: librosa.effects.trim (0.6.3 for "reflect", 0.11 for "constant"), frame 2048, hop 512.
    """
    samples = len(waveform)
    if samples == 0:
        return 0, 0
    n_frames = 1 + samples // HOP_LENGTH
    mode: Literal["reflect", "constant"] = "reflect" if pad_mode == "reflect" else "constant"
    padded = np.pad(waveform, FRAME_LENGTH // 2, mode=mode)
    # A frame is four hops long: its energy is the sum of four neighbouring stretches of one hop.
    hops = padded[: (n_frames + 3) * HOP_LENGTH].reshape(-1, HOP_LENGTH)
    per_hop = np.einsum("ij,ij->i", hops, hops, dtype=np.float64)
    energy = (per_hop[:-3] + per_hop[1:-2] + per_hop[2:-1] + per_hop[3:]) / FRAME_LENGTH
    level = 10 * (np.log10(np.maximum(energy, FLOOR)) - np.log10(max(energy.max(), FLOOR)))
    loud = np.flatnonzero(level > -top_db)
    return int(loud[0]) * HOP_LENGTH, min(samples, (int(loud[-1]) + 1) * HOP_LENGTH)


def centred(waveform: np.ndarray, samples: int) -> np.ndarray:
    """At least that many samples: what is missing is filled with zeros, half in front, rounded down."""
    missing = max(0, samples - len(waveform))
    return np.pad(waveform, (missing // 2, missing - missing // 2)) if missing else waveform


def around(waveform: np.ndarray, centre: int, samples: int) -> np.ndarray:
    """What lies within samples // 2 of a centre, filled up with zeros on both sides to exactly that many samples."""
    half = samples // 2
    return centred(waveform[max(0, centre - half) : centre + half], samples)


def loudest(waveform: np.ndarray, samples: int) -> np.ndarray:
    """The stretch of that many samples around the quarter of it whose absolute values add up to most.

    The clip is first continued with zeros by half a stretch at both ends; of equal sums the first counts.

    Source: the excerpts of "High resolution spectrograms" (Freesound 2018, R. Osmulski): 2 s at 22,050 Hz.
    """
    if not waveform.any():
        return np.zeros(samples, np.float32)
    half, quarter = samples // 2, samples // 4
    padded = np.pad(waveform, half)
    total = np.concatenate([[0.0], np.cumsum(np.abs(padded), dtype=np.float64)])
    centre = int(np.argmax(total[quarter:] - total[:-quarter])) + quarter // 2
    start = min(max(0, centre - half), len(padded) - samples)
    return padded[start : start + samples]
