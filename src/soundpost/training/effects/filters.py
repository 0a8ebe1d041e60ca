"""Long linear filters of whole waveforms, on any device."""

import torch
from torch import Tensor


def filtered(waveform: Tensor, response: Tensor) -> Tensor:
    """The waveform convolved with an impulse response and cut to its own length, in double precision.

    Args:
        waveform: (..., samples).
        response: (..., taps), as many axes as the waveform or fewer.

    Returns:
        (..., samples) float64.
    """
    samples, taps = waveform.shape[-1], min(response.shape[-1], waveform.shape[-1])
    size = 1 << (samples + taps - 2).bit_length() if samples + taps > 2 else 1
    spectrum = torch.fft.rfft(waveform.double(), size) * torch.fft.rfft(response[..., :taps].double(), size)
    return torch.fft.irfft(spectrum, size)[..., :samples]
