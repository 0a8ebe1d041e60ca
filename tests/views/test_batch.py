"""Windows stacked into a batch are their own clips', in memory that is page-locked where there is any."""

import numpy as np
import pytest
import torch
from torch import Tensor

from soundpost.views.batch import stack
from soundpost.views.tiles import Tiles, TilesSettings
from soundpost.views.view import Window

TILES = Tiles(TilesSettings(frames=40, step=30))
CLIPS = list(np.random.default_rng(0).normal(-30, 9, (2, 1, 16, 100)).astype(np.float32))
PAIRS = [(clip, window) for clip in (1, 0) for window in TILES.windows(100)]


def stacked(pairs: list[tuple[int, Window]], pinned: bool = False) -> Tensor:
    return stack([CLIPS[clip] for clip, _ in pairs], [window for _, window in pairs], TILES, pinned)


def test_windows_stacked_from_several_clips_are_cut_from_their_own() -> None:
    """Each row of a batch is the window that was asked for, in the order given."""
    for row, (clip, window) in zip(stacked(PAIRS), PAIRS, strict=True):
        torch.testing.assert_close(row, TILES.cut(torch.from_numpy(CLIPS[clip]), window), rtol=0, atol=0)


@pytest.mark.parametrize("count", [1, 3])
def test_batch_lies_in_usual_memory_where_none_can_be_page_locked(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy to the GPU that waits is slower, and nothing is lost; the batch itself tells."""
    empty = torch.empty

    def exhausted(*shape: object, pin_memory: bool = False, **others: object) -> Tensor:
        if pin_memory:
            raise RuntimeError("CUDA error: out of memory")
        return empty(*shape, **others)

    monkeypatch.setattr(torch, "empty", exhausted)

    batch = stacked(PAIRS[:count], pinned=True)

    assert not batch.is_pinned()
    torch.testing.assert_close(batch, stacked(PAIRS)[:count], rtol=0, atol=0)
