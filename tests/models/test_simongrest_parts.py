"""simongrest in small: its network, the zoomed crops, warp, mixup, one cycle, and its weights as they are imported."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from soundpost.errors import ShapeError
from soundpost.importers.__main__ import IMPORTERS
from soundpost.models.simongrest import Simongrest, SimongrestSettings
from soundpost.training.batch import Batch
from soundpost.training.folds.published import fold_of_name, held_out
from soundpost.training.mixers.mixup import Mixup, MixupSettings
from soundpost.training.optimisers import OptimiserSettings
from soundpost.training.optimisers import spread as spread_rates
from soundpost.training.schedules.one_cycle import FASTAI_2, FASTAI_V1, OneCycle, rate_and_momentum
from soundpost.views.crop import spread, starts
from soundpost.views.scaling import scaled
from soundpost.views.warp import plain_grid, read, warped, zoomed
from soundpost.views.zoomed_crops import ZoomedCrops, ZoomedCropsSettings

SMALL = SimongrestSettings(base=4, cap=8, blocks=4, heads=2)


def test_gradient_reaches_every_parameter_of_simongrest() -> None:
    """No parameter is left out of training."""
    model = Simongrest(SMALL, 3)
    model(torch.rand(4, 1, 16, 20)).square().sum().backward()
    assert [key for key, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []


def test_simongrest_answers_a_row_alone_as_in_a_batch() -> None:
    """A window's logits do not depend on its batch mates."""
    model, batch = Simongrest(SMALL, 3).eval(), torch.rand(3, 1, 31, 16)
    with torch.inference_mode():
        torch.testing.assert_close(model(batch)[1:2], model(batch[1:2]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("frames", [15, 32])
def test_simongrest_with_other_than_one_last_cell_says_what_it_takes(frames: int) -> None:
    """Too few frames and too many are refused, with the bounds."""
    with pytest.raises(ShapeError, match=r"must lie in 16 \.\.\. 31"):
        Simongrest(SMALL, 3)(torch.zeros(1, 1, 16, frames))


@pytest.mark.parametrize("frames", [1, 200, 256, 257, 1000])
def test_zoomed_crops_lie_inside_the_clip_or_hold_all_of_it(frames: int) -> None:
    """Nine windows whose weights sum to one; a short clip lies whole inside each."""
    view = ZoomedCrops(ZoomedCropsSettings())
    windows = view.windows(frames)
    assert [window.variant for window in windows] == list(range(9))
    assert sum(window.weight for window in windows) == pytest.approx(1)
    for window in windows:
        inside = (window.start, window.start + 256) if frames >= 256 else (-window.start, -window.start + frames)
        assert inside[0] >= 0
        assert inside[1] <= max(frames, 256)
    picture = torch.rand(1, 32, frames)
    before = picture.clone()
    cuts = [view.cut(picture, window) for window in windows]
    assert {cut.shape for cut in cuts} == {(1, 32, 256)}
    assert torch.equal(before, picture)
    torch.testing.assert_close(cuts[0].sum() if frames <= 256 else picture.sum(), picture.sum())


@pytest.mark.parametrize(("beta", "variants"), [(1.0, [0]), (0.0, list(range(1, 9)))])
def test_zoomed_crops_leave_out_what_has_no_weight(beta: float, variants: list[int]) -> None:
    """At either end of beta nothing is computed in vain."""
    windows = ZoomedCrops(ZoomedCropsSettings(beta=beta)).windows(300)
    assert variants == [window.variant for window in windows]
    assert len(windows) > 1 or windows[0].start == 22


def test_zoom_by_one_and_warp_by_nothing_change_nothing() -> None:
    """The grid itself reads the picture as it is."""
    picture, grid = torch.rand(2, 9, 7), plain_grid(9, 7)
    for points in (grid, zoomed(grid, 1.0, 0.2, 0.9), warped(grid, (0.0, 0.0, 0.0, 0.0))):
        torch.testing.assert_close(picture, read(picture, points), rtol=0, atol=1e-5)


def test_zoom_looks_into_the_corner_it_names() -> None:
    """Corners of the result are corners of the picture: row says top or bottom, column left or right."""
    picture = torch.rand(1, 21, 33)
    for row in (0, 1):
        for column in (0, 1):
            seen = read(picture, zoomed(plain_grid(21, 33), 1.5, row, column))
            torch.testing.assert_close(picture[0, -row, -column], seen[0, -row, -column], rtol=0, atol=1e-5)


def test_warp_takes_its_four_points_to_the_corners() -> None:
    """What the homography promises, at the four points that define it."""
    m0, m1, m2, m3 = magnitudes = (0.05, -0.03, 0.02, -0.04)
    points = torch.tensor([[(-1 - m3, -1 - m1), (-1 - m2, 1 + m1), (1 + m3, -1 - m0), (1 + m2, 1 + m0)]])
    corners = torch.tensor([[(-1.0, -1.0), (-1.0, 1.0), (1.0, -1.0), (1.0, 1.0)]])
    torch.testing.assert_close(corners, warped(points, magnitudes), rtol=0, atol=1e-6)


def test_starts_spread_over_the_clip_and_one_alone_is_the_middle() -> None:
    """Windows lie in the middles of equal parts; a short clip is moved about in its window instead."""
    assert starts(100, 40, 1) == (30,)
    assert starts(100, 40, 3) == (10, 30, 50)
    assert starts(40, 100, 3) == (-10, -30, -50)
    assert starts(40, 40, 2) == (0, 0)


def test_spread_fills_the_interval_evenly_for_every_count() -> None:
    """No tenth of the interval stays empty or takes more than a quarter of thirty draws."""
    for axis in range(3):
        counts = np.histogram([spread(i, axis) for i in range(30)], bins=10, range=(0, 1))[0]
        assert counts.min() >= 1
        assert counts.max() <= 7


def test_scaling_shows_one_channel_as_often_as_the_network_takes() -> None:
    """Each copy gets the mean and the deviation of its channel."""
    batch = torch.full((2, 1, 3, 4), 255.0)
    channels = scaled(batch, 255, (0.5, 0.25, 0.0), (0.5, 0.25, 2.0), 3)
    assert channels[:, :, 0, 0].tolist() == [[1.0, 3.0, 0.5]] * 2


def test_mixup_keeps_the_larger_share_with_the_clip() -> None:
    """A share of 0.1 and one of 0.9 give the same mixture."""
    none = torch.zeros(3, dtype=torch.int64)
    batch, mixer = Batch(torch.rand(3, 1, 2, 2), none + 2, torch.eye(3), none), Mixup(MixupSettings())
    partner = batch.rows(torch.tensor([1, 2, 0]))
    low, high = (mixer.apply(batch, partner, torch.full((3,), share)) for share in (0.1, 0.9))
    torch.testing.assert_close((low.inputs, low.targets), (high.inputs, high.targets))
    torch.testing.assert_close(low.targets.diagonal(), torch.full((3,), 0.9))


@pytest.mark.parametrize("cycle", [FASTAI_V1, FASTAI_2])
def test_one_cycle_peaks_where_the_momentum_is_lowest(cycle: OneCycle) -> None:
    """Up, then down to nearly nothing; the momentum goes the other way."""
    rates, momenta = np.array([rate_and_momentum(cycle, 0.01, i, 200) for i in range(200)]).T
    top = int(cycle.rise * 200)
    assert rates.argmax() == momenta.argmin() == top
    assert rates[0] == pytest.approx(0.01 / 25)
    assert rates[-1] < 1e-5
    assert momenta[top] == pytest.approx(0.85)


def test_peaks_spread_evenly_on_a_log_scale() -> None:
    """The middle group learns at the geometric mean."""
    assert spread_rates(OptimiserSettings("adamw", 1e-2, 1e-6), 3) == pytest.approx((1e-6, 1e-4, 1e-2))


def test_fold_of_a_name_leaves_the_global_generator_alone() -> None:
    """The published rule reseeded it; folder and suffix do not matter."""
    random.seed(4)
    state = random.getstate()
    assert fold_of_name("a/0006ae4e.wav", 6) == fold_of_name("0006ae4e.flac", 6) == 2
    assert random.getstate() == state


def test_held_out_clips_are_distinct_and_as_many_as_asked() -> None:
    """A fifth of a hundred, each once."""
    chosen = held_out(100, 0.2, 42)
    assert len(set(chosen.tolist())) == 20


def test_weights_of_simongrest_need_their_own_sizes(tmp_path: Path) -> None:
    """What fastai saves beside the optimiser is read; the recipe predicts nine views."""
    model = Simongrest(SimongrestSettings(), 5)
    torch.save({"model": model.state_dict(), "opt": {}}, tmp_path / "stage-2_fold3.pth")
    recipe = IMPORTERS["simongrest"](tmp_path, tmp_path / "out", "simongrest", tuple("abcde"))
    assert [member.name for member in recipe.members] == ["simongrest/3"]
    assert (recipe.front_end.name, recipe.views[-1].settings["scale"]) == ("pcen", 1.1)
