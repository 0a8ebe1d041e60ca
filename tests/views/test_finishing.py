"""Views that compute their windows from plain pieces give the same a batch at once as window by window."""

import numpy as np
import pytest
import torch

from soundpost.registry import build
from soundpost.views import VIEWS
from soundpost.views.batch import stack
from soundpost.views.view import Finishing

SAME = 1e-6  # largest change of a value in [0, 1]
CASES = {
    "zoomed_crops": {"frames": 48, "scale": 1.35, "reverse_last_four": True},
    "lit_crops": {"frames": 48, "count": 9},
}


@pytest.mark.parametrize("frames", [30, 48, 200])
@pytest.mark.parametrize("stored", [np.float32, np.float16, np.uint8])
@pytest.mark.parametrize("name", list(CASES))
def test_windows_finished_in_a_batch_are_those_that_are_cut(name: str, stored: type, frames: int) -> None:
    """Every variant, clips shorter and longer than a window, any type that spectrograms are kept in."""
    view = build(VIEWS, name, CASES[name], "view")
    assert isinstance(view, Finishing)
    top = 255 if name == "lit_crops" else 1 + 254 * (stored is np.uint8)
    clip = (np.random.default_rng(0).random((1, 16, frames)) * top).astype(stored)
    windows = view.windows(frames)
    cut = torch.stack([view.cut(torch.from_numpy(clip), window).float() for window in windows])

    plain = stack([clip] * len(windows), windows, view, is_plain=True)
    found = view.finish(plain, windows)

    assert plain.dtype == torch.from_numpy(clip).dtype
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, cut, rtol=0, atol=SAME * float(cut.abs().max()))
    assert float((plain.float() / plain.float().max() - found / found.max()).abs().max()) > 0.05, "nothing was done"


def test_windows_keep_their_order_when_they_are_finished() -> None:
    """Windows of several clips come mixed, and each gets its own change."""
    view = build(VIEWS, "zoomed_crops", CASES["zoomed_crops"], "view")
    clips = [np.full((1, 8, 60), i, np.float32) + np.arange(60, dtype=np.float32) / 60 for i in range(3)]
    pairs = [(clip, window) for window in reversed(view.windows(60)) for clip in clips]
    arrays, windows = zip(*pairs, strict=True)

    found = view.finish(stack(arrays, windows, view, is_plain=True), windows)

    cut = torch.stack([view.cut(torch.from_numpy(array), window) for array, window in pairs])
    torch.testing.assert_close(found, cut, rtol=0, atol=3 * SAME)
