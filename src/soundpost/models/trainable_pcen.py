"""Per-channel energy normalisation as the first layer of a network.

Source: systems specification of simongrest, section 6.
"""

import torch
from torch import Tensor, nn

from soundpost.functional.pcen import pcen


class TrainablePcen(nn.Module):
    """The same normalisation inside a network, its constants trained as logarithms, shared or one for each band."""

    def __init__(self, s: float, alpha: float, delta: float, r: float, eps: float, n_bands: int = 1) -> None:
        super().__init__()
        self.eps = eps
        self.log_s, self.log_alpha, self.log_delta, self.log_r = (
            nn.Parameter(torch.full((n_bands,), constant).log()) for constant in (s, alpha, delta, r)
        )

    def forward(self, power: Tensor) -> Tensor:
        """(batch, 1, mels, frames) mel power -> the same axes; the input stays as it is."""
        logs = (self.log_s, self.log_alpha, self.log_delta, self.log_r)
        smoothing, gain, bias, exponent = (log.exp().reshape(-1, 1) for log in logs)
        return pcen(power, smoothing, gain, bias, exponent, self.eps, 0.0)
