"""Sizes of spectrograms and windows are known before any clip is read, and are those of real ones."""

import torch
from networks import recipe

from soundpost.ensemble.recipes import Named
from soundpost.front_ends import FRONT_ENDS
from soundpost.inference.sizes import LONG_SECONDS, TYPICAL_SECONDS, Sizes
from soundpost.registry import build

RATE = 16_000
FRONT_END = {"sample_rate": RATE, "n_fft": 512, "hop_length": 256, "n_mels": 16}


def tiled() -> object:
    """A recipe whose first view shows a clip in tiles and whose second one shows it whole."""
    made = recipe()
    views = (Named("tiles", {"frames": 40, "step": 20}), Named("whole", {}))
    return type(made)(
        **{**vars(made), "views": views, "front_end": Named("log_mel", FRONT_END), "audio": {"sample_rate": RATE}}
    )


def test_shape_is_that_of_a_real_spectrogram() -> None:
    """A clip of that length at the recipe's own rate is meant."""
    front_end = build(FRONT_ENDS, "log_mel", FRONT_END, "front end")
    for seconds in (0.5, 3.21):
        spectrogram = front_end(torch.zeros(1, round(seconds * RATE)))[0]
        assert Sizes().shape(tiled(), seconds) == tuple(spectrogram.shape)


def test_longest_window_is_that_of_any_view() -> None:
    """The whole clip is longer than a tile; without a length no clip has a longer one."""
    sizes = Sizes()
    assert sizes.longest_window(tiled(), 3.0) == sizes.shape(tiled(), 3.0)[2]
    assert sizes.longest_window(tiled()) == sizes.longest_window(tiled(), 2 * LONG_SECONDS) > 1000


def test_typical_frames_are_those_of_all_windows_of_a_view() -> None:
    """Tiles that overlap show a clip nearly twice."""
    sizes = Sizes()
    frames = sizes.shape(tiled(), TYPICAL_SECONDS)[2]
    assert sizes.typical_frames(tiled(), 1) == frames
    assert 1.5 * frames < sizes.typical_frames(tiled(), 0) <= 2.5 * frames


def test_view_is_built_once() -> None:
    """Passes share it."""
    sizes = Sizes()
    assert sizes.view(tiled(), 0) is sizes.view(tiled(), 0)
    assert sizes.view(tiled(), 0) is not sizes.view(tiled(), 1)
