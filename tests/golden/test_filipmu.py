"""filipmu (Freesound 2019): residual networks, his views and the library's, lighting, split and schedule."""

import re
from typing import Any

import numpy as np
import pytest
import torch
from cases import GoldenSet, assert_close, assert_stats, fill, golden
from rule_inputs import check_network, rule_input

from soundpost.importers.recipe_files import template
from soundpost.importers.resnets import LAYERS
from soundpost.models.resnet import ResNet, ResNetSettings
from soundpost.registry import settings_from
from soundpost.training.augmentations.lighting import Lighting, LightingSettings
from soundpost.training.batch import Batch
from soundpost.training.folds.published import HeldOut, HeldOutSettings, held_out
from soundpost.training.optimisers import OptimiserSettings, optimiser, spread
from soundpost.training.schedules.by_batch import OneCycleSettings, OneCycleV1
from soundpost.training.schedules.schedule import Length
from soundpost.views.lit_crops import lit
from soundpost.views.zoomed_crops import ZoomedCrops, ZoomedCropsSettings


def network(config: dict[str, Any], salt: str) -> ResNet:
    table = {"classes": 80, **template("filipmu")["model"], **config}
    table.pop("name")
    if arch := table.pop("arch", ""):
        table["layers"] = LAYERS[arch]
    classes = table.pop("classes")
    return fill(ResNet(settings_from(ResNetSettings, table, "filipmu"), classes), salt)


@pytest.mark.parametrize(("place", "case"), golden("filipmu", "network"))
def test_network_of_filipmu_gives_the_published_logits(place: GoldenSet, case: dict[str, Any]) -> None:
    """Names and shapes, logits, and what stem and stages give."""
    model = network(case["config"], place.salt)
    listed = place.table["state_dicts"].get(case["name"].split("/")[1])
    if listed:
        assert listed == {key: list(value.shape) for key, value in model.state_dict().items()}
    expected = place.expected(case["expect"]["logits"])
    check_network(model, rule_input(case["input"]), case, expected, list(model[0])[3:])


@pytest.mark.parametrize(("place", "case"), golden("filipmu", "augment"))
def test_lighting_of_filipmu_is_the_published_one(place: GoldenSet, case: dict[str, Any]) -> None:
    """Brightness and contrast, alone and together, on black and white pixels too."""
    actual = lit(torch.from_numpy(rule_input(case["input"])), case["change"], case["scale"])
    assert_close(place.expected(case["expect"]["image"]), actual, case["tol"]["abs"], case["name"])
    picture, none = torch.from_numpy(rule_input(case["input"])), torch.zeros(1, dtype=torch.int64)
    batch = Batch(picture[None], torch.tensor([picture.shape[-1]]), none[:, None], none)
    drawn = torch.tensor([[case["change"] or 0.5, case["scale"] or 1.0]], dtype=torch.float64)
    trained_on = Lighting(LightingSettings()).apply(batch, drawn).inputs[0]
    assert_close(place.expected(case["expect"]["image"]), trained_on, case["tol"]["abs"], "in training")


@pytest.mark.parametrize(("place", "case"), golden("filipmu", "tta_views"))
def test_views_of_the_library_are_zoomed_and_mirrored(place: GoldenSet, case: dict[str, Any]) -> None:
    """Eight zooms of one picture, of which the last four run backwards."""
    picture = torch.from_numpy(rule_input(case["input"]))
    view = ZoomedCrops(ZoomedCropsSettings(picture.shape[-1], case["scale"], case["flip_last_four"]))
    actual = torch.stack([view.cut(picture, window) for window in view.windows(picture.shape[-1])[1:]]).numpy()
    assert_close(place.expected(case["expect"]["views"]), actual, case["tol"]["abs"], case["name"])
    assert_stats(case["stats"]["views"], actual, case["tol"]["abs"], case["name"])


@pytest.mark.parametrize(("place", "case"), golden("filipmu", "tta_combine"))
def test_answers_of_filipmu_are_averaged_as_published(place: GoldenSet, case: dict[str, Any]) -> None:
    """His own views by their logits, the library's by their probabilities with 0.4 of the plain one."""
    given = case["input"]
    if isinstance(given, str):  # "the same two arrays as tta/own; ..."
        same = re.search(r"as ([\w/]+)", given).group(1)
        given = next(other["input"] for other in place.table["cases"] if other["name"] == same)
    plain, views = (rule_input(given[name]).astype(np.float64) for name in ("plain", "views"))
    if case["beta"] == 0:
        assert template("filipmu")["average"] == "logit"
        actual = views.mean(0)
    else:
        plain, views = (1 / (1 + np.exp(-logits)) for logits in (plain, views))
        weights = [window.weight for window in ZoomedCrops(ZoomedCropsSettings(beta=case["beta"])).windows(300)]
        actual = weights[0] * plain + sum(weights[1:]) * views.mean(0)
    assert_close(place.expected(case["expect"]["result"]), actual, case["tol"]["abs"], case["name"])


@pytest.mark.parametrize(("place", "case"), golden("filipmu", "split"))
def test_split_of_filipmu_holds_out_the_published_clips(place: GoldenSet, case: dict[str, Any]) -> None:
    """A fifth of the clips, from NumPy's seeded permutation."""
    actual = held_out(case["items"], 0.2, case["seed"])
    assert (case["valid_count"], case["first"]) == (len(actual), actual[: len(case["first"])].tolist())
    assert case["sum_of_indices"] == actual.sum()
    folds = HeldOut(HeldOutSettings(0.2, case["seed"]))([""] * case["items"], np.zeros((case["items"], 1)), ())
    assert sorted(actual.tolist()) == [row for row, fold in enumerate(folds) if fold == "0"]


@pytest.mark.parametrize(("place", "case"), golden("filipmu", "schedule"))
def test_one_cycle_of_filipmu_is_the_published_one(place: GoldenSet, case: dict[str, Any]) -> None:
    """Learning rate of three groups of layers and the momentum, of every batch."""
    low, high = case["max_lr_slice"]
    chosen = OptimiserSettings("adamw", high, low, groups=(("0",), ("1",), ("2",)))
    assert case["groups"] == pytest.approx(spread(chosen, 3), rel=1e-12)
    rates, momenta = cycle_of(OneCycleV1, chosen, case["batches"])
    for key, actual in (("lr", rates), ("momentum", momenta)):
        np.testing.assert_allclose(place.expected(case["expect"][key]), actual, rtol=case["tol"]["rel"])


def cycle_of(cycle: type, chosen: OptimiserSettings, batches: int) -> tuple[np.ndarray, np.ndarray]:
    """Rate of each group and the first beta, of every batch."""
    network = torch.nn.Sequential(*(torch.nn.Linear(1, 1) for _ in chosen.groups))
    adam = optimiser(chosen, network)
    schedule, rows = cycle(adam, OneCycleSettings(), Length(1, batches)), []
    for _ in range(batches):
        rows.append(([group["lr"] for group in adam.param_groups], adam.param_groups[0]["betas"][0]))
        adam.step()
        schedule.step()
    return np.array([rates for rates, _ in rows]), np.array([momentum for _, momentum in rows])
