"""What published training loops drew at random for each clip, in their order, so that their runs can be repeated."""

import numpy as np

from soundpost.views.masked_crops import LAST_START


def crop_and_masks(random: np.random.RandomState, frames: int, width: int, bins: int) -> tuple[int, int, int]:
    """First frame of the crop, first masked bin, first masked frame, as ERC2019 drew them.

    Args:
        random: the published code used NumPy's global generator.
        frames: those of the clip, more than width; the last start is never drawn.
        width: frames of the crop.
        bins: those of the clip.
    """
    start = int(random.randint(0, frames - width))
    bin_start = int(random.uniform(0, LAST_START) * bins)
    frame_start = int(random.uniform(0, LAST_START) * width)
    return start, bin_start, frame_start
