"""Mel bands of short-time spectra, and decibels: what the front ends share beyond the spectra themselves."""

import functools
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from soundpost.errors import SettingsError
from soundpost.functional.stft import Framing, power_spectra

BANDS_AT_ONCE = 16  # mel bands whose filters are applied as one matrix, over the bins that they touch


@dataclass(frozen=True)
class Bands:
    """The mel bands of a spectrum."""

    sample_rate: int  # Hz
    n_fft: int  # samples
    n_mels: int
    fmin: float  # Hz
    fmax: float  # Hz; 0 is half the sample rate
    scale: str = "slaney"  # which mel scale: "slaney" as librosa, "htk" as torchaudio
    norm: str = "slaney"  # "slaney": filters of equal area; "": of height 1

    def __post_init__(self) -> None:
        if self.scale not in ("slaney", "htk") or self.norm not in ("slaney", ""):
            raise SettingsError(
                f"mel scale '{self.scale}', norm '{self.norm}'; known scales: slaney, htk; known norms: slaney, or "
                "empty for none. Correct [front_end]."
            )


@functools.lru_cache(maxsize=32)
def mel_bank(bands: Bands) -> np.ndarray:
    """Triangular filters at equal distances on a mel scale, (mels, n_fft // 2 + 1) float32.

    Source: librosa.filters.mel(htk, norm), after Slaney's Auditory Toolbox, 1998; torchaudio's melscale_fbanks.
    """
    fmax = bands.fmax or bands.sample_rate / 2
    if not 0 <= bands.fmin < fmax:
        raise SettingsError(f"fmin {bands.fmin} Hz, fmax {fmax} Hz: no band lies between them. Correct [front_end].")
    edges = mel_frequencies(bands.n_mels + 2, bands.fmin, fmax, bands.scale)
    bins = np.linspace(0, bands.sample_rate / 2, bands.n_fft // 2 + 1)
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (bins - low) / (centre - low), (high - bins) / (high - centre)
    area = 2 / (high - low) if bands.norm == "slaney" else 1.0
    return (np.maximum(0, np.minimum(rising, falling)) * area).astype(np.float32)


def mel_frequencies(count: int, fmin: float, fmax: float, scale: str = "slaney") -> np.ndarray:
    """Frequencies in Hz at equal distances on a mel scale, (count,) float64.

    Slaney's mel is linear below 1 kHz (3 mel per 200 Hz) and logarithmic above (27 mel per factor 6.4); that of HTK is
    2595 log10(1 + f / 700).
    """
    if scale == "htk":
        low, high = (2595 * np.log10(1 + hz / 700) for hz in (fmin, fmax))
        return 700 * (10 ** (np.linspace(low, high, count) / 2595) - 1)
    per_log = 27 / np.log(6.4)
    low, high = (hz * 3 / 200 if hz < 1000 else 15 + per_log * np.log(hz / 1000) for hz in (fmin, fmax))
    mel = np.linspace(low, high, count)
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) / per_log))


@functools.lru_cache(maxsize=32)
def blocks(bands: Bands, device: torch.device) -> tuple[tuple[slice, Tensor], ...]:
    """The mel bank as small dense matrices along its diagonal, (bands, bins), with the bins that each one covers.

    All else in the bank is zero: the blocks hold a sixth of it.
    """
    bank = torch.from_numpy(mel_bank(bands))
    found = []
    for some in bank.split(BANDS_AT_ONCE):
        touched = torch.nonzero(some.any(0)).flatten()
        bins = slice(int(touched[0]), int(touched[-1]) + 1) if len(touched) else slice(0, 1)
        found.append((bins, some[:, bins].contiguous().to(device)))
    return tuple(found)


def mel_power(waveform: Tensor, framing: Framing, bands: Bands, power: int = 2) -> Tensor:
    """Mel bands of the squared magnitude (power 2) or of the magnitude (power 1) of one waveform.

    Args:
        waveform: (samples,) float32.
        framing: where the frames lie.
        bands: which mel bands.
        power: 1 or 2.

    Returns:
        (mels, frames) float32.
    """
    result = waveform.new_empty(bands.n_mels, framing.frames(waveform.shape[0]))
    for first, values in power_spectra(waveform, framing):
        if power == 1:
            values.sqrt_()
        of_frames = result[:, first : first + len(values)].split(BANDS_AT_ONCE)
        for rows, (bins, weights) in zip(of_frames, blocks(bands, waveform.device), strict=True):
            torch.mm(weights, values[:, bins].T, out=rows)
    return result


def decibels(power: Tensor, top_db: float) -> Tensor:
    """10 log10 of a power of one clip in place, at least 1e-10, and at most top_db below the clip's largest value.

    Args:
        power: any shape, of one clip.
        top_db: dB; 0 sets no such floor.

    Source: librosa.power_to_db(ref=1.0, amin=1e-10).
    """
    power.clamp_(min=1e-10).log10_().mul_(10.0)
    return power.clamp_(min=power.max() - top_db) if top_db else power
