"""ERC2019 and the seventh place of Freesound 2019: networks, test-time views, crops by strength, learning rates."""

import hashlib
from typing import Any

import numpy as np
import pytest
import torch
from cases import GoldenSet, assert_close, fill, golden
from rule_inputs import rule_input
from torch import Tensor, nn
from torch.nn import functional as F

from soundpost.importers.recipe_files import template
from soundpost.models import MODELS
from soundpost.models.inception import Inception, InceptionSettings
from soundpost.registry import pick, settings_from
from soundpost.training.augmentations.band_and_stretch import BandAndStretch, BandAndStretchSettings
from soundpost.training.augmentations.crop import Crop, CropSettings
from soundpost.training.augmentations.reverse import Reverse, ReverseSettings
from soundpost.training.batch import Batch
from soundpost.views.adaptive_crops import strengths
from soundpost.views.crop import crop
from soundpost.views.masked_crops import LAST_START, MaskedCrops, MaskedCropsSettings, masked

POOLED = {"m0": "fc", "m2": "fc", "m3": "fc", "dcase": "bn1"}  # the module that the pooled vector enters


def network(name: str, classes: int, salt: str, **settings: Any) -> nn.Module:
    table = {**template(f"erc2019_{name}")["model"], **settings}
    model_class = pick(MODELS, table.pop("name"), "model")
    return fill(model_class(settings_from(model_class.Settings, table, name), classes), salt)


def inputs(place: GoldenSet) -> dict[str, Tensor]:
    arrays = place.arrays("networks.npz")
    found = {
        name: torch.from_numpy(arrays[f"input.{name}"]) for name in ("normal", "wide") if f"input.{name}" in arrays
    }
    if "input.clip_u8" in arrays:
        found["clip_unit"] = torch.from_numpy(arrays["input.clip_u8"])[:, None] / np.float32(255)
        found["clip_published"] = found["clip_unit"] / 255
    return found


@pytest.mark.parametrize(("place", "case"), golden("erc2019", section="networks"))
def test_network_of_erc2019_gives_the_published_logits(place: GoldenSet, case: dict[str, Any]) -> None:
    """Names, shapes and number of parameters, logits of every input, and the vector that enters the head."""
    name, tolerance = case["network"], place.table["tolerance"]
    model = network(name, case["num_classes"], place.salt)
    lines = "\n".join(f"{key}:{tuple(value.shape)}" for key, value in model.state_dict().items())
    assert case["keys_sha256"] == hashlib.sha256(lines.encode()).hexdigest()
    assert case["parameters"] == sum(parameter.numel() for parameter in model.parameters())
    seen: list[Tensor] = []
    model.get_submodule(POOLED[name]).register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    batches, arrays = inputs(place), place.arrays("networks.npz")
    for key in case["inputs"]:
        with torch.inference_mode():
            logits = model(batches[key])
        assert_close(arrays[f"{name}.{key}.logits"], logits, tolerance["logits_eval"][name], f"{name} on {key}")
        if f"{name}.{key}.pooled" in arrays:
            assert_close(arrays[f"{name}.{key}.pooled"], seen[-1], tolerance["pooled_eval"][name], f"{name} pooled")


@pytest.mark.parametrize(("place", "case"), golden("erc2019", section="networks", where=lambda case: "train" in case))
def test_network_of_erc2019_trains_with_the_published_gradients(place: GoldenSet, case: dict[str, Any]) -> None:
    """Logits, loss and the norm of every gradient of one mixed batch, without dropout."""
    name, tolerance, batch = case["network"], place.table["tolerance"], place.table["train_batch"]
    model = network(name, case["num_classes"], place.salt)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    given = inputs(place)
    pictures = torch.cat([given["normal"], given["clip_unit"]])
    labels, permutation, share = torch.tensor(batch["labels"]), torch.tensor(batch["perm"]), batch["lam"]
    logits = model.train()(share * pictures + (1 - share) * pictures[permutation])
    loss = share * F.cross_entropy(logits, labels) + (1 - share) * F.cross_entropy(logits, labels[permutation])
    loss.backward()
    expected = place.arrays("networks.npz")[f"{name}.train.logits"]
    assert_close(expected, logits.detach(), tolerance["logits_train"], f"{name} in training")
    assert case["train"]["loss"] == pytest.approx(loss.item(), abs=tolerance["loss_train"])
    norms = {key: float(parameter.grad.norm()) for key, parameter in model.named_parameters()}
    largest = max(case["train"]["grad_norm"].values())
    assert case["train"]["grad_norm"] == pytest.approx(norms, rel=1e-2, abs=1e-3 * largest)


def assert_trains_on(case: dict[str, Any], picture: torch.Tensor, width: int, fraction: float) -> None:
    """The parts of training show the same pixels for the same draws."""
    none = torch.zeros(1, dtype=torch.int64)
    batch = Batch(picture[None], torch.tensor([picture.shape[-1]]), none[:, None], none)
    batch = Crop(CropSettings(width, last_start=False)).apply(batch, torch.tensor([case["crop"]]))
    part = BandAndStretch(BandAndStretchSettings(fraction))
    batch = part.apply(batch, torch.tensor([[case["freq_start"], case["time_start"]]]))
    for key, flips in (("view_u8_sha256", False), ("flipped_view_u8_sha256", True)):
        shown = Reverse(ReverseSettings()).apply(batch, torch.tensor([flips])).inputs[0]
        assert case[key] == hashlib.sha256(shown.contiguous().numpy().tobytes()).hexdigest(), key


@pytest.mark.parametrize(("place", "case"), golden("erc2019", section="views"))
def test_view_of_erc2019_shows_the_published_pixels(place: GoldenSet, case: dict[str, Any]) -> None:
    """Crop and masks as drawn by the published code, forwards and backwards, and their scale."""
    picture = torch.from_numpy(place.arrays("features.npz")[f"{case['image']}.image_u8"])[None]
    settings = template("erc2019_m0")["views"][-1]
    width, fraction = settings["frames"], settings["mask_fraction"]
    random, bins = np.random.RandomState(case["numpy_seed"]), picture.shape[-2]
    start = int(random.randint(0, picture.shape[-1] - width))
    masks = [int(random.uniform(0, LAST_START) * size) for size in (bins, width)]
    assert [case["crop"], case["freq_start"], case["time_start"]] == [start, *masks]
    seen = masked(crop(picture, start, width), *masks, fraction)
    assert_trains_on(case, picture, width, fraction)
    for key, view in (("view_u8_sha256", seen), ("flipped_view_u8_sha256", seen.flip(-1))):
        assert case[key] == hashlib.sha256(view[0].contiguous().numpy().tobytes()).hexdigest(), key
    prepared = MaskedCrops(MaskedCropsSettings(divisor=settings["divisor"])).prepare(seen[None].float())
    assert case["view_max_float"] == pytest.approx(float(prepared.max()), rel=1e-6)


@pytest.mark.parametrize(("place", "case"), golden("erc2019", section="features"))
def test_strength_of_the_seventh_place_is_summed_as_published(place: GoldenSet, case: dict[str, Any]) -> None:
    """The sums over the lowest 84 bands of every window of 128 frames."""
    arrays, settings = place.arrays("features.npz"), template("seventh_custom")["views"][-1]
    picture = torch.from_numpy(arrays[f"{case['id']}.image_u8"])
    actual = strengths(picture, settings["bins"], settings["frames"])
    np.testing.assert_array_equal(arrays[f"{case['id']}.strength"], actual.numpy())


@pytest.mark.parametrize(("place", "case"), golden("seventh", "network"))
def test_inception_of_the_seventh_place_gives_the_logits_of_torchvision(place: GoldenSet, case: dict[str, Any]) -> None:
    """Both networks, over three planes and over one, from torchvision's names."""
    settings = settings_from(InceptionSettings, case["config"], "seventh")
    model = fill(Inception(settings, case["classes"]), place.salt)
    lines = "\n".join(f"{key}:{tuple(value.shape)}" for key, value in sorted(model.state_dict().items()))
    assert case["keys_sha256"] == hashlib.sha256(lines.encode()).hexdigest()
    assert case["parameters"] == sum(parameter.numel() for parameter in model.parameters())
    with torch.inference_mode():
        logits = model(torch.from_numpy(rule_input(case["input"])))
    assert_close(place.expected(case["expect"]["logits"]), logits, case["tol"]["abs"], case["name"])
