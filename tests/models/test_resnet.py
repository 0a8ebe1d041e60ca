"""Residual networks in small, crops under different lighting, and weights under fastai's and torchvision's names."""

from functools import partial
from pathlib import Path

import pytest
import torch

from soundpost.errors import SettingsError, WeightsError
from soundpost.front_ends import FRONT_ENDS
from soundpost.importers.__main__ import IMPORTERS
from soundpost.importers.resnets import PICTURES, TORCHVISION
from soundpost.models.resnet import ResNet, ResNetSettings
from soundpost.registry import pick, settings_from
from soundpost.views.lit_crops import LitCrops, LitCropsSettings, lit

BASIC = ResNetSettings(layers=(1, 1, 2, 1), stem=4, hidden=8)
GROUPED = ResNetSettings("bottleneck", (1, 2, 1, 1), 16, 4, 16, hidden=8, head_bias=False)


@pytest.mark.parametrize("settings", [BASIC, GROUPED, ResNetSettings(layers=(1, 1, 1, 1), stem=4, head="linear")])
def test_resnet_trains_everywhere_and_answers_each_row_alone(settings: ResNetSettings) -> None:
    """Every parameter gets a gradient; a row's logits do not depend on its batch mates; any size goes."""
    torch.manual_seed(5)
    model, batch = ResNet(settings, 3), torch.rand(4, 3, 64, 40)
    model(batch).square().sum().backward()
    assert [key for key, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []
    with torch.inference_mode():
        torch.testing.assert_close(model.eval()(batch)[1:2], model(batch[1:2]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("key", "value"), [("block", "dense"), ("head", "attention")])
def test_resnet_with_an_unknown_part_lists_the_known_ones(key: str, value: str) -> None:
    """The message names the part and what there is."""
    with pytest.raises(SettingsError, match=rf"{key} '{value}' is not known; known: "):
        ResNet(ResNetSettings(**{key: value}), 3)


@pytest.mark.parametrize("frames", [100, 224, 600])
def test_lit_crops_show_five_lightings_of_the_clip(frames: int) -> None:
    """Equal weights, pixels in [0, 1] on three channels, the same at the second call, the picture untouched."""
    view, picture = LitCrops(LitCropsSettings()), torch.rand(1, 32, frames) * 255
    before, windows = picture.clone(), view.windows(frames)
    assert [(window.variant, window.weight) for window in windows] == [(i, 1.0) for i in range(5)]
    cuts = torch.stack([view.cut(picture, window) for window in windows])
    assert torch.equal(cuts, torch.stack([view.cut(picture, window) for window in windows]))
    assert torch.equal(before, picture)
    assert cuts.min() >= 0
    assert cuts.max() <= 1
    assert view.prepare(cuts).shape == (5, 3, 32, 224)


def test_lightings_spread_over_what_could_be_drawn() -> None:
    """About a quarter of many passes leave each part alone; the others fill the published range."""
    view = LitCrops(LitCropsSettings(count=400))
    for column, (low, high) in enumerate(((0.4, 0.6), (0.8, 1.25))):
        drawn = [view.lighting(i)[column] for i in range(400)]
        changed = [value for value in drawn if value is not None]
        assert len(changed) == pytest.approx(300, abs=8)
        assert min(changed) == pytest.approx(low, rel=0.02)
        assert max(changed) == pytest.approx(high, rel=0.02)


def test_light_of_no_change_leaves_the_picture_alone() -> None:
    """Neither part drawn, or both at their neutral value."""
    picture = torch.rand(1, 4, 5)
    assert lit(picture, None, None) is picture
    torch.testing.assert_close(picture, lit(picture, 0.5, 1.0), rtol=0, atol=1e-5)


def torchvision_names(model: ResNet) -> dict[str, torch.Tensor]:
    renamed = {}
    for name, value in model.state_dict().items():
        old = next(old for old, new in TORCHVISION.items() if name.startswith(new))
        renamed[old + name.removeprefix(TORCHVISION[old])] = value
    return renamed


def test_resnet_is_imported_under_either_name(tmp_path: Path) -> None:
    """fastai's checkpoint has its own head; torchvision's has one linear layer, and says layer1 and fc."""
    fastai = ResNet(ResNetSettings(layers=(2, 2, 2, 2)), 4)
    torch.save({"model": fastai.state_dict(), "opt": {}}, tmp_path / "fastai.pth")
    plain = ResNet(ResNetSettings(layers=(2, 2, 2, 2), head="linear"), 4)
    torch.save(torchvision_names(plain), tmp_path / "torchvision.pth")
    assert "layer1.0.bn1.weight" in torchvision_names(plain)
    for source, head in (("fastai", "fastai"), ("torchvision", "linear")):
        recipe = IMPORTERS["filipmu_colour"](tmp_path / f"{source}.pth", tmp_path / source, source, tuple("abcd"))
        assert recipe.front_end.settings["colours"] == 3
        settings = settings_from(ResNetSettings, recipe.model.settings, source)
        assert (settings.layers, settings.head) == ((2, 2, 2, 2), head)


def test_resnet_of_other_labels_is_refused(tmp_path: Path) -> None:
    """A head of four classes does not become one of three."""
    torch.save(ResNet(ResNetSettings(layers=(2, 2, 2, 2)), 4).state_dict(), tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=r"Import it with the template and the labels"):
        IMPORTERS["filipmu"](tmp_path / "a.pth", tmp_path / "out", "a", tuple("abc"))


@pytest.mark.parametrize("picture", PICTURES)
def test_published_pictures_are_front_ends_of_the_kit(picture: str) -> None:
    """Each of the thirteen kinds can be drawn in three channels of 224 x 224, and has its importer."""
    settings = dict(PICTURES[picture])
    front_end_class = pick(FRONT_ENDS, settings.pop("name"), "front end")
    assert front_end_class(settings_from(front_end_class.Settings, settings, picture)).shape(44100) == (3, 224, 224)
    assert isinstance(IMPORTERS[f"hires_{picture}"], partial)
