"""Windows of clips stacked into one batch."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from soundpost.views.view import Finishing, View, Window

Room = Callable[[tuple[int, ...], torch.dtype], Tensor]  # shape, type -> a tensor whose numbers mean nothing yet


def stack(
    spectrograms: Sequence[np.ndarray],
    windows: Sequence[Window],
    view: View,
    room: Room | None = None,
    is_plain: bool = False,
) -> Tensor:
    """Windows of clips as one batch, cut one after the other into it.

    Args:
        spectrograms: each (channels, bins, frames), one for each window (the same one may come again).
        windows: which part of each.
        view: the rule that cuts.
        room: gives the memory for the batch, such as page-locked memory, from which a copy to a GPU does not wait;
            without it usual memory.
        is_plain: whether the windows are left to be finished on a device, where the view can do that.

    Returns:
        (windows, channels, bins, frames) in the spectrograms' type.
    """
    cut = view.plain if is_plain and isinstance(view, Finishing) else view.cut
    first = cut(torch.from_numpy(spectrograms[0]), windows[0])
    if len(windows) == 1 and room is None:
        return first[None]
    shape = (len(windows), *first.shape)
    batch = torch.empty(shape, dtype=first.dtype) if room is None else room(shape, first.dtype)
    batch[0] = first
    for i in range(1, len(windows)):
        batch[i] = cut(torch.from_numpy(spectrograms[i]), windows[i])
    return batch
