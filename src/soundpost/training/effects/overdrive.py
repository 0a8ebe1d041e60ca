"""A soft clipper with a little of the clean sound, as SoX 14.4.2 has it."""

import torch
from torch import Tensor

from soundpost.training.effects.filters import filtered

MEMORY = 0.995  # per sample, of the filter that takes the constant part away
TAPS = 8192  # after which that memory is below 1e-17


def overdrive(waveform: Tensor, gain_db: float, colour: float = 20.0) -> Tensor:
    """Louder, bent at the peaks, half of it the waveform as it was.

    Args:
        waveform: (channels, samples) in [-1, 1].
        gain_db: how much louder, dB.
        colour: 0 ... 100, how uneven the bending is.

    Returns:
        (channels, samples) float32.
    """
    bent = waveform.double() * 10 ** (gain_db / 20) + colour / 200
    bent = torch.where(bent.abs() > 1, bent.sign() * 2 / 3, bent - bent**3 / 3)
    powers = MEMORY ** torch.arange(TAPS, dtype=torch.float64, device=waveform.device)
    response = torch.cat([powers[:1], powers[1:] - powers[:-1]])
    return (waveform.double() * 0.5 + filtered(bent, response) * 0.75).clamp(-1, 1).float()
