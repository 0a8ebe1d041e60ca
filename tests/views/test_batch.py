"""Windows stacked into a batch are their own clips', in the memory that is given for them."""

import numpy as np
import pytest
import torch
from torch import Tensor

from soundpost.views.batch import Room, stack
from soundpost.views.tiles import Tiles, TilesSettings
from soundpost.views.view import Window

TILES = Tiles(TilesSettings(frames=40, step=30))
CLIPS = list(np.random.default_rng(0).normal(-30, 9, (2, 1, 16, 100)).astype(np.float32))
PAIRS = [(clip, window) for clip in (1, 0) for window in TILES.windows(100)]


def stacked(pairs: list[tuple[int, Window]], room: Room | None = None) -> Tensor:
    return stack([CLIPS[clip] for clip, _ in pairs], [window for _, window in pairs], TILES, room)


def test_windows_stacked_from_several_clips_are_cut_from_their_own() -> None:
    """Each row of a batch is the window that was asked for, in the order given."""
    for row, (clip, window) in zip(stacked(PAIRS), PAIRS, strict=True):
        torch.testing.assert_close(row, TILES.cut(torch.from_numpy(CLIPS[clip]), window), rtol=0, atol=0)


@pytest.mark.parametrize("count", [1, 3])
def test_batch_is_made_in_the_room_that_is_given(count: int) -> None:
    """Also a batch of one window, which else would be a look at its clip."""
    rooms = [torch.full((count, 1, 16, 40), torch.nan)]

    batch = stacked(PAIRS[:count], lambda shape, dtype: rooms[0])

    assert batch is rooms[0]
    torch.testing.assert_close(batch, stacked(PAIRS)[:count], rtol=0, atol=0)
