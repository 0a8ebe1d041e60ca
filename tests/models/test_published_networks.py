"""The first three places of Freesound 2019: networks that train, views and front ends that keep their word."""

import librosa
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from soundpost.errors import SettingsError, ShapeError
from soundpost.front_ends.segments import Segments as SegmentsFrontEnd
from soundpost.front_ends.segments import SegmentsSettings, global_statistics
from soundpost.functional.deltas import with_derivatives
from soundpost.functional.qrfaction_layout import pack, side_columns, unpack
from soundpost.models import MODELS
from soundpost.models.qrfaction import pool_same
from soundpost.models.qrfaction_stacker import LocalMix, Stacker, StackerSettings
from soundpost.registry import pick, settings_from
from soundpost.views.segments import Segments
from soundpost.views.segments import SegmentsSettings as SegmentsViewSettings
from soundpost.views.tiles import Tiles, TilesSettings

N_CLASSES = 7
SMALL = {
    "argus_skip_attention": ({"base_size": 4, "ratio": 4, "kernel_size": 3}, (3, 32, 48)),
    "argus_aux_skip_attention": ({"base_size": 4, "last_fc": 4}, (3, 32, 48)),
    "argus_rnn_aux_skip_attention": ({"base_size": 4, "last_filters": 4}, (3, 32, 48)),
    "argus_fcnet": ({"in_channels": 3 * N_CLASSES, "base_size": 8, "reduction_scale": 2}, (3, N_CLASSES)),
    "ex4sperans_2d": ({"blocks": 3, "base": 4, "growth": 1.5, "start": 1}, (1, 24, 40)),
    "ex4sperans_1d": ({"blocks": 3, "base": 4, "start": 0, "aggregation": "rnn", "bins": 24}, (1, 24, 40)),
    "ex4sperans_backbone": ({"backbone": "resnet18"}, (1, 32, 40)),
    "qrfaction": ({"network": "msc", "width_ratio": 0.125, "rnn_unit": 8}, (1, 16, 40 + side_columns(16))),
    "qrfaction_stacker": ({"n_inputs": 3}, (3, N_CLASSES)),
}


def built(name: str) -> tuple[nn.Module, tuple[int, ...]]:
    torch.manual_seed(5)
    settings, shape = SMALL[name]
    model_class = pick(MODELS, name, "model")
    return model_class(settings_from(model_class.Settings, settings, name), N_CLASSES), shape


def first(outputs: Tensor | tuple[Tensor, ...]) -> Tensor:
    return outputs[0] if isinstance(outputs, tuple) else outputs


@pytest.mark.parametrize("name", SMALL)
def test_network_in_training_gives_every_parameter_a_gradient(name: str) -> None:
    """All outputs together, as its loss weighs them, reach all parameters."""
    model, shape = built(name)
    outputs = model.train()(torch.rand(4, *shape))
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    sum((output**2).mean() for output in outputs).backward()
    silent = [key for key, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert silent == []


@pytest.mark.parametrize("name", SMALL)
def test_network_answers_a_row_alone_as_in_a_batch(name: str) -> None:
    """A window's logits do not depend on its batch mates."""
    model, shape = built(name)
    batch = torch.rand(3, *shape)
    with torch.inference_mode():
        together, alone = first(model.eval()(batch)), first(model(batch[1:2]))
    assert together.shape == (3, N_CLASSES)
    torch.testing.assert_close(alone[0], together[1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("ex4sperans_2d", {"aggregation": "median"}, "aggregation 'median' is not known"),
        ("ex4sperans_backbone", {"backbone": "resnet19"}, "backbone 'resnet19' is not known"),
        ("qrfaction", {"pool": "avemax5"}, "pool 'avemax5'; known"),
        ("qrfaction", {"network": "dense"}, "network 'dense' with"),
    ],
)
def test_network_with_an_unknown_variant_is_refused(name: str, settings: dict[str, str], message: str) -> None:
    """A word that no published network knows is said to be unknown, with those that are."""
    model_class = pick(MODELS, name, "model")
    with pytest.raises(SettingsError, match=message):
        model_class(settings_from(model_class.Settings, settings, name), N_CLASSES)


def test_derivatives_are_those_of_librosa() -> None:
    """Both derivatives agree with librosa.feature.delta in its defaults, at the edges, too."""
    log_mel = np.random.default_rng(1).standard_normal((5, 40)).astype(np.float32)
    found = with_derivatives(torch.from_numpy(log_mel)[None, None])[0].numpy()
    np.testing.assert_array_equal(log_mel, found[0])
    np.testing.assert_allclose(librosa.feature.delta(log_mel), found[1], atol=1e-5)
    np.testing.assert_allclose(librosa.feature.delta(log_mel, order=2), found[2], atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 1, 4, 8), (1, 2, 4, 20), (4, 20)])
def test_derivatives_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    """Nine frames of one channel are needed."""
    with pytest.raises(ShapeError, match="9 frames or more"):
        with_derivatives(torch.zeros(shape))


@pytest.mark.parametrize("frames", [1, 55, 256, 257, 320, 448, 640, 1918])
def test_tiles_cover_the_clip_and_show_its_minimum_beyond(frames: int) -> None:
    """Every frame is in a tile, what is no frame holds the clip's smallest value, and the clip is untouched."""
    clip = torch.rand(1, 3, frames) + 1
    before = clip.clone()
    view = Tiles(TilesSettings())
    seen = torch.zeros(frames, dtype=torch.bool)
    for window in view.windows(frames):
        tile = view.cut(clip, window)
        assert tile.shape == (1, 3, 256)
        start, stop = max(0, window.start), min(frames, window.start + 256)
        seen[start:stop] = True
        inside = slice(start - window.start, stop - window.start)
        torch.testing.assert_close(tile[..., inside], clip[..., start:stop])
        outside = torch.ones(256, dtype=torch.bool)
        outside[inside] = False
        assert (tile[..., outside] == clip.min()).all()
    assert seen.all()
    torch.testing.assert_close(clip, before)


def test_tiles_without_derivatives_are_only_scaled() -> None:
    """A recipe may show the tile alone, in other units."""
    batch = torch.rand(2, 1, 3, 16)
    view = Tiles(TilesSettings(frames=16, step=8, derivatives=False, divisor=2.0))
    torch.testing.assert_close(view.prepare(batch), batch / 2)


@pytest.mark.parametrize("bins", [16, 60, 64])
def test_packed_input_comes_apart_as_it_was_put_together(bins: int) -> None:
    """Images, statistics and length survive, whatever the number of bins."""
    images, statistics = torch.rand(bins, 20), torch.rand(128, 12)
    found = unpack(pack(images, statistics, 0.7)[None])
    torch.testing.assert_close(found[0][0, 0], images)
    torch.testing.assert_close(found[1][0], statistics)
    assert float(found[2]) == pytest.approx(0.7)


@pytest.mark.parametrize("samples", [100, 3000, 22050, 50000])
def test_segments_of_any_clip_have_one_shape_and_three_windows(samples: int) -> None:
    """Short and long clips are laid out alike, so that they share batches."""
    front_end = SegmentsFrontEnd(SegmentsSettings(segment_samples=22050))
    waveforms = 0.1 * torch.randn(2, samples, generator=torch.Generator().manual_seed(1))
    packed = front_end(waveforms)
    assert tuple(packed.shape[1:]) == front_end.shape(samples) == (1, 64, 3 * 44 + 25)
    torch.testing.assert_close(packed[1], front_end(waveforms[1:])[0])
    view = Segments(SegmentsViewSettings(frames=44))
    windows = view.windows(packed.shape[-1])
    assert len(windows) == 3
    shown = torch.stack([view.cut(packed[0], window) for window in windows])
    assert shown.shape == (3, 1, 64, 44 + 25)
    torch.testing.assert_close(unpack(shown)[1][0], unpack(shown)[1][2])


def test_segments_of_silence_are_finite() -> None:
    """Digital silence is 0 dB below its own maximum, and every statistic of it is 0."""
    packed = SegmentsFrontEnd(SegmentsSettings(segment_samples=22050))(torch.zeros(1, 30000))
    images, statistics, length = unpack(packed)
    assert (images == 0).all()
    assert (statistics == 0).all()
    assert float(length) == pytest.approx(30000 / 441000)


def test_segments_of_another_front_end_are_refused() -> None:
    """A number of columns that is no number of segments is an error in the recipe."""
    with pytest.raises(ShapeError, match="100 columns are no number of 44 frames"):
        Segments(SegmentsViewSettings(frames=44)).windows(100)


def test_statistics_of_a_constant_have_no_spread() -> None:
    """Every percentile is the constant, deviation and range are 0."""
    found = global_statistics(np.full(5000, 0.25, np.float32))
    np.testing.assert_allclose(found[:, [0, *range(3, 12)]], 0.25)
    np.testing.assert_allclose(found[:, 1:3], 0.0)


def test_pooling_with_even_padding_averages_real_cells_alone() -> None:
    """A constant stays constant to its edges, and the output is half as long, rounded up."""
    for size in (2, 3):
        for length in (7, 8):
            pooled = pool_same(torch.ones(1, 1, length, 4), "ave", size, 2)
            assert pooled.shape == (1, 1, -(-length // 2), 2)
            torch.testing.assert_close(pooled, torch.ones_like(pooled))


def test_untrained_stacker_ranks_as_its_last_input() -> None:
    """It starts as a monotone map of the weighted mean."""
    inputs = torch.rand(4, 3, 7)
    with torch.inference_mode():
        found = Stacker(StackerSettings(n_inputs=3), 7)(inputs)
    torch.testing.assert_close(found.argsort(1), inputs[:, 2].argsort(1))


def test_constrained_mix_has_weights_of_length_one() -> None:
    """What training does after every step."""
    mix = LocalMix(5, 3)
    nn.init.normal_(mix.weight)
    mix.constrain()
    torch.testing.assert_close(mix.weight.norm(dim=1), torch.ones(5))
