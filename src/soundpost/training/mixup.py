"""Two clips of a batch in one: inputs and targets blended."""

from torch import Tensor


def mixed(batch: Tensor, targets: Tensor, shares: Tensor, permutation: Tensor) -> tuple[Tensor, Tensor]:
    """Mixup with one share for each clip, of which the larger part always stays with the clip itself.

    Args:
        batch: (batch, channels, bins, frames).
        targets: (batch, classes).
        shares: (batch,) in [0, 1]; published systems drew them from Beta(0.4, 0.4).
        permutation: (batch,), which clip is mixed into which.

    Returns:
        Batch and targets of the same axes.

    Source: Zhang et al. 2017; the fastai v1 form, used by simongrest and filipmu.
    """
    shares = shares.maximum(1 - shares)
    return _blend(batch, batch[permutation], shares), _blend(targets, targets[permutation], shares)


def _blend(values: Tensor, others: Tensor, shares: Tensor) -> Tensor:
    shares = shares.reshape(-1, *[1] * (values.dim() - 1)).to(values)
    return shares * values + (1 - shares) * others
