"""ERC2019 and Freesound 2019's seventh place: networks in small, masked crops, crops by strength, import."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from soundpost.ensemble.blend import Blend
from soundpost.ensemble.recipes import Named
from soundpost.errors import ShapeError, WeightsError
from soundpost.importers.__main__ import IMPORTERS
from soundpost.models.erc2019 import Plain, PlainSettings, Pyramid, PyramidSettings
from soundpost.models.erc2019_dcase import Dcase, DcaseSettings
from soundpost.training.augmentations.band_and_stretch import BandAndStretch, BandAndStretchSettings
from soundpost.training.augmentations.place import Place, PlaceSettings
from soundpost.training.batch import Batch
from soundpost.views.adaptive_crops import AdaptiveCrops, AdaptiveCropsSettings, start_odds, strengths
from soundpost.views.masked_crops import MaskedCrops, MaskedCropsSettings

WIDTHS = (4, 4, 8, 8)


def small(name: str, as_in_training: bool = False) -> nn.Module:
    torch.manual_seed(5)
    if name == "plain":
        return Plain(PlainSettings(WIDTHS, 8, as_in_training=as_in_training), 3)
    if name == "pyramid":
        return Pyramid(PyramidSettings(WIDTHS, 8, as_in_training=as_in_training), 3)
    return Dcase(DcaseSettings((*WIDTHS, 8), 8, as_in_training=as_in_training), 3)


def pictures(count: int = 4) -> torch.Tensor:
    return torch.from_numpy(np.random.RandomState(3).uniform(0, 255, (count, 1, 128, 128)).astype(np.float32))


@pytest.mark.parametrize("name", ["plain", "pyramid", "dcase"])
def test_gradient_reaches_every_parameter(name: str) -> None:
    """No parameter is left out of training."""
    model = small(name)
    model(pictures() / 255).square().sum().backward()
    assert [key for key, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []


@pytest.mark.parametrize("name", ["plain", "pyramid", "dcase"])
def test_row_does_not_depend_on_its_batch_unless_asked_for_as_published(name: str) -> None:
    """Evaluation mode is the default; with as_in_training the batch's own statistics come in, as published."""
    given = pictures()
    for as_in_training in (False, True):
        model = small(name, as_in_training).eval()
        with torch.inference_mode():
            together, apart = model(given), model(given[:2])
        assert torch.allclose(together[:2], apart, atol=1e-5) is not as_in_training


def test_dcase_with_another_picture_size_says_which_it_needs() -> None:
    """The head fits one size; the message names both."""
    with pytest.raises(ShapeError, match=r"its head fits \(128, 128\)"):
        small("dcase")(torch.zeros(1, 1, 128, 129))
    assert Dcase(DcaseSettings(mels=64, frames=200), 3).eval()(torch.zeros(1, 1, 64, 200)).shape == (1, 3)


@pytest.mark.parametrize("frames", [100, 128, 129, 400])
def test_masked_crops_lie_inside_the_clip_and_repeat_themselves(frames: int) -> None:
    """Twelve windows, each the same at every call; the last start is never taken, as published."""
    view = MaskedCrops(MaskedCropsSettings())
    picture = torch.full((1, 128, frames), 200.0)
    windows = view.windows(frames)
    assert [window.variant for window in windows] == list(range(12))
    if frames > 128:
        assert all(0 <= window.start < frames - 128 for window in windows)
    for window in windows:
        piece = view.cut(picture, window)
        assert piece.shape == (1, 128, 128)
        assert torch.equal(piece, view.cut(picture, window))
        assert int((piece[0] == 0).all(1).sum()) == 12
        if frames >= 128:
            assert int((piece[0] == 0).all(0).sum()) == 12
    assert picture.min() == 200


def test_parts_of_the_crops_are_all_of_them() -> None:
    """Dealt among view sets of equal size, each crop is shown once, and each set spreads over the clip."""
    for view_class, settings, parts in (
        (MaskedCrops, MaskedCropsSettings, 3),
        (AdaptiveCrops, AdaptiveCropsSettings, 4),
    ):
        whole = view_class(settings()).windows(500)
        sets = [view_class(settings(parts=parts, part=part)).windows(500) for part in range(parts)]
        assert len({len(windows) for windows in sets}) == 1
        assert sorted(whole, key=str) == sorted((window for windows in sets for window in windows), key=str)


def test_masked_crops_without_masks_and_reversals_are_plain_crops() -> None:
    """The setting that switches them off leaves the pixels alone."""
    view = MaskedCrops(MaskedCropsSettings(mask_fraction=0.0, reversals=False))
    picture = torch.arange(128 * 300.0).reshape(1, 128, 300)
    for window in view.windows(300):
        assert torch.equal(picture[..., window.start : window.start + 128], view.cut(picture, window))


def test_masked_crops_show_both_directions() -> None:
    """Odd passes run backwards."""
    view = MaskedCrops(MaskedCropsSettings(mask_fraction=0.0))
    picture = torch.arange(129.0).expand(1, 128, 129)
    falls = [bool(view.cut(picture, window)[0, 0].diff().max() < 0) for window in view.windows(129)]
    assert falls == [bool(i % 2) for i in range(12)]


def test_draws_of_erc2019_stay_where_published() -> None:
    """Crop in 0 ... T - 129, masks in 0 ... 115."""
    clips, generator = 2000, torch.Generator().manual_seed(1)
    lengths, none = torch.full((clips,), 140), torch.zeros(clips, dtype=torch.int64)
    starts = Place(PlaceSettings(128)).draw(Batch(torch.zeros(clips, 1, 1, 140), lengths, none, none), generator)
    pictures = Batch(torch.zeros(1, 1, 128, 128).expand(clips, 1, 128, 128), lengths, none, none)
    masks = BandAndStretch(BandAndStretchSettings()).draw(pictures, generator)
    drawn = torch.cat([starts[:, None], masks], 1)
    assert drawn.amin(0).tolist() == [0, 0, 0]
    assert drawn.amax(0).tolist() == [11, 115, 115]


def test_strength_counts_the_lower_bands_of_every_window() -> None:
    """A burst below band 84 is heard in the windows that hold it, one above in none."""
    picture = torch.zeros(128, 300)
    picture[83, 200], picture[84, 10] = 7, 9
    strength = strengths(picture, 84, 128)
    assert strength.shape == (173,)
    assert strength.nonzero()[:, 0].tolist() == list(range(73, 173))


def test_start_odds_are_those_of_the_rejection_loop() -> None:
    """The closed form has the frequencies of the published draw: integer c, start c // h, accepted if loud."""
    strength = torch.tensor([3.0, 5.0, 3.0, 8.0, 6.0], dtype=torch.float64)
    low, height = 3, 5
    accepted = np.zeros(5)
    for c in range(height * 4 + 1):
        start, rest = divmod(c, height)
        accepted[start] += strength[start] - low >= rest
    assert accepted.tolist() == start_odds(strength).tolist()


def test_start_odds_of_silence_and_of_steady_sound() -> None:
    """Silence is shown from its beginning; steady sound from anywhere."""
    assert start_odds(torch.zeros(4, dtype=torch.float64)).tolist() == [1, 0, 0, 0]
    assert start_odds(torch.full((4,), 9.0, dtype=torch.float64)).tolist() == [1, 1, 1, 1]


def test_adaptive_crops_follow_the_loud_part() -> None:
    """Most of twenty crops hold the only sound of the clip; a clip of one window is shown whole."""
    view = AdaptiveCrops(AdaptiveCropsSettings())
    picture = torch.zeros(1, 128, 600)
    picture[:, 40, 300:320] = 255
    cuts = [view.cut(picture, window) for window in view.windows(600)]
    assert len(cuts) == 20
    assert sum(bool(cut.max() == 255) for cut in cuts) >= 19
    assert torch.equal(picture[..., :128], view.cut(picture[..., :128], view.windows(128)[7]))


def test_logit_blend_of_one_label_is_the_softmax_of_mean_logits() -> None:
    """Probabilities are enough to blend logits, for softmax and for sigmoid."""
    logits = np.random.RandomState(2).standard_normal((4, 5, 6))
    shares = np.exp(logits) / np.exp(logits).sum(2, keepdims=True)
    members, done = [f"r{i}/0" for i in range(4)], np.ones((4, 5), bool)
    mean = logits.mean(0)
    single = Blend(Named("logit", {"single_label": True}), members)(shares.astype(np.float32), done)
    np.testing.assert_allclose(np.exp(mean) / np.exp(mean).sum(1, keepdims=True), single, atol=1e-6)
    several = Blend(Named("logit", {}), members)((1 / (1 + np.exp(-logits))).astype(np.float32), done)
    np.testing.assert_allclose(1 / (1 + np.exp(-mean)), several, atol=1e-6)


def test_weights_of_m0_are_recognised_by_their_names(tmp_path: Path) -> None:
    """A bare state dict and one of several devices become the folds of one recipe, which carries the views."""
    model = Plain(PlainSettings(), 6)
    torch.save(model.state_dict(), tmp_path / "fold_0.pt")
    torch.save({"model": {f"module.{key}": value for key, value in model.state_dict().items()}}, tmp_path / "fold_3.pt")
    recipe = IMPORTERS["erc2019"](tmp_path, tmp_path / "out", "m0", tuple("abcdef"))
    assert [member.name for member in recipe.members] == ["m0/0", "m0/3"]
    assert recipe.members[0].sha256 == recipe.members[1].sha256
    assert (recipe.model.name, recipe.average, recipe.activation) == ("erc2019_plain", "logit", "softmax")


def test_weights_of_an_unknown_network_are_refused(tmp_path: Path) -> None:
    """The message says which names were looked for."""
    torch.save({"layer.weight": torch.zeros(2)}, tmp_path / "other.pt")
    with pytest.raises(WeightsError, match=r"none of conv\.0\.conv1\.0\.weight"):
        IMPORTERS["erc2019"](tmp_path / "other.pt", tmp_path / "out", "m0", tuple("abcdef"))
