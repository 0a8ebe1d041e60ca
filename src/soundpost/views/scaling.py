"""How a spectrogram's values are brought to the scale that a network was trained on."""

from torch import Tensor

from soundpost.functional.constants import constant


def scaled(batch: Tensor, divisor: float, mean: tuple[float, ...], std: tuple[float, ...], channels: int) -> Tensor:
    """(batch / divisor - mean) / std, for each channel.

    Args:
        batch: (batch, channels, bins, frames).
        divisor: what all values are divided by.
        mean: one number, or one for each channel.
        std: likewise.
        channels: how many the network takes; a batch of one channel is shown to it that many times.

    Returns:
        (batch, channels, bins, frames).
    """
    if channels != batch.shape[1]:
        batch = batch.expand(-1, channels, -1, -1)
    return (batch / divisor - constant(mean, batch).reshape(1, -1, 1, 1)) / constant(std, batch).reshape(1, -1, 1, 1)
