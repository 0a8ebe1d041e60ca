"""Windows of clips stacked into one batch."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from soundpost.views.view import View, Window


def stack(spectrograms: Sequence[np.ndarray], windows: Sequence[Window], view: View, pinned: bool = False) -> Tensor:
    """Windows of clips as one batch, cut one after the other into it.

    Args:
        spectrograms: each (channels, bins, frames), one for each window (the same one may come again).
        windows: which part of each.
        view: the rule that cuts.
        pinned: whether to ask for page-locked memory, for a copy to a GPU that does not wait; where there is none the
            batch lies in usual memory, which its is_pinned() tells.

    Returns:
        (windows, channels, bins, frames) in the spectrograms' type.
    """
    first = view.cut(torch.from_numpy(spectrograms[0]), windows[0])
    if len(windows) == 1 and not pinned:
        return first[None]
    batch = _empty((len(windows), *first.shape), first.dtype, pinned)
    batch[0] = first
    for i in range(1, len(windows)):
        batch[i] = view.cut(torch.from_numpy(spectrograms[i]), windows[i])
    return batch


def _empty(shape: tuple[int, ...], dtype: torch.dtype, pinned: bool) -> Tensor:
    if pinned:
        try:
            return torch.empty(shape, dtype=dtype, pin_memory=True)
        except RuntimeError:  # no page can be locked; if the device is broken, the copy to it will say so
            pass
    return torch.empty(shape, dtype=dtype)
