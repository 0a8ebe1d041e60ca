"""Log-mel images, global statistics and length of a clip as one array, and a network's input apart again.

The last columns hold what is no image: 128 x 12 statistics and one length, written down the columns, then zeros.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

STEPS = 128  # windows over the whole clip
STATISTICS = 12  # numbers of each window
SIDE_VALUES = STEPS * STATISTICS + 1  # the length comes last


def side_columns(bins: int) -> int:
    """How many columns of that many bins the statistics and the length fill; 25 at 64 bins."""
    return -(-SIDE_VALUES // bins)


def pack(images: Tensor, statistics: Tensor, length: float) -> Tensor:
    """One clip as one array.

    Args:
        images: (bins, frames), dB.
        statistics: (steps, statistics).
        length: trimmed samples over those of 10 s.

    Returns:
        (1, bins, frames + side columns).
    """
    bins = images.shape[0]
    side = torch.cat([statistics.reshape(-1), statistics.new_tensor([length])])
    side = F.pad(side, (0, side_columns(bins) * bins - SIDE_VALUES))
    return torch.cat([images, side.reshape(-1, bins).T], 1)[None]


def unpack(batch: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What pack put together: (batch, 1, bins, columns) -> images, statistics, lengths.

    Returns:
        (batch, 1, bins, frames), (batch, steps, statistics) and (batch, 1).
    """
    columns = side_columns(batch.shape[2])
    side = batch[:, 0, :, -columns:].transpose(1, 2).flatten(1)
    statistics = side[:, : SIDE_VALUES - 1].reshape(-1, STEPS, STATISTICS)
    return batch[..., :-columns], statistics, side[:, SIDE_VALUES - 1 : SIDE_VALUES]
