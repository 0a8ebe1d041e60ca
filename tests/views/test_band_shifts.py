"""The view that moves mel bands: every frame once for each shift, nothing but the bands moved."""

import pytest
import torch

from soundpost.views.band_shifts import BandShifts, BandShiftsSettings


@pytest.mark.parametrize(("frames", "windows"), [(1, 1), (7, 1), (10, 1), (11, 2), (35, 4)])
def test_band_shifts_windows_cover_the_clip_once_for_each_shift(frames: int, windows: int) -> None:
    """Equal windows, one after the other, no longer than the settings allow."""
    view = BandShifts(BandShiftsSettings(shifts=(-1, 2), max_frames=10))

    found = view.windows(frames)

    assert len(found) == 2 * windows
    for variant in range(2):
        theirs = [window for window in found if window.variant == variant]
        covered = [frame for w in theirs for frame in range(w.start, w.start + w.frames)]
        assert covered == list(range(frames))
        assert [window.weight for window in theirs] == [float(window.frames) for window in theirs]


def test_band_shifts_cut_moves_bands_and_repeats_the_edge() -> None:
    """Up by one: each band shows what was one below, the lowest itself; down by two likewise; the input stays."""
    spectrogram = torch.arange(4.0)[None, :, None].expand(1, 4, 6).clone()
    before = spectrogram.clone()
    view = BandShifts(BandShiftsSettings(shifts=(1, -2, 0)))
    up, down, still = view.windows(6)

    assert view.cut(spectrogram, up)[0, :, 0].tolist() == [0, 0, 1, 2]
    assert view.cut(spectrogram, down)[0, :, 3].tolist() == [2, 3, 3, 3]
    assert torch.equal(view.cut(spectrogram, still), before)
    assert torch.equal(spectrogram, before)
