"""High resolution spectrograms (Freesound 2018): network, mean of softmax outputs, top-3 error and MAP@3, schedule."""

import re
from typing import Any

import numpy as np
import pytest
import torch
from cases import GoldenSet, assert_close, fill, golden, part
from rule_inputs import check_network, rule_input

from soundpost.ensemble.blend import Blend
from soundpost.ensemble.recipes import Named
from soundpost.evaluation.metrics import accuracy, mean_average_precision, top_k_error
from soundpost.importers.recipe_files import template
from soundpost.models.resnet import ResNet, ResNetSettings
from soundpost.registry import settings_from
from soundpost.training.optimisers import OptimiserSettings, optimiser
from soundpost.training.schedules.by_batch import OneCycle2, OneCycleSettings
from soundpost.training.schedules.schedule import Length


@pytest.mark.parametrize(("place", "case"), golden("hires_spectrogram", "network"))
def test_network_of_hires_gives_the_published_logits(place: GoldenSet, case: dict[str, Any]) -> None:
    """Names and shapes, logits, and what stem and stages give."""
    config = {key: value for key, value in case["config"].items() if key not in ("arch", "classes")}
    table = {**template("hires_spectrogram")["model"], **config}
    table.pop("name")
    model = fill(ResNet(settings_from(ResNetSettings, table, "hires"), case["config"]["classes"]), place.salt)
    listed = place.table["state_dicts"].get(case["name"].split("/")[1])
    if listed:
        assert listed == {key: list(value.shape) for key, value in model.state_dict().items()}
    expected = place.expected(case["expect"]["logits"])
    check_network(model, rule_input(case["input"]), case, expected, list(model[0])[3:])


@pytest.mark.parametrize(("place", "case"), golden("hires_spectrogram", "metric_top3"))
def test_folds_of_hires_are_averaged_and_scored_as_published(place: GoldenSet, case: dict[str, Any]) -> None:
    """Mean of five softmax outputs, top-3 error, MAP@3 and accuracy."""
    numbers = re.search(r"RandomState\((\d+)\).*\(\((\d+),(\d+),(\d+)\)\)", case["input"]).groups()
    seed, members, clips, classes = (int(number) for number in numbers)
    random = np.random.RandomState(seed)
    logits, target = random.standard_normal((members, clips, classes)), random.randint(0, classes, clips)
    shares = torch.from_numpy(logits).softmax(2).numpy()
    mean = shares.mean(0)
    expected, atol = case["expect"], case["tol"]["abs"]
    entry = expected["mean_probabilities"]
    assert_close(place.expected(entry), part(mean, entry["subsample"]), atol, "mean")
    blend = Blend(Named("mean", {}), [f"hires/{i}" for i in range(members)])
    assert_close(mean, blend(shares.astype(np.float32), np.ones((members, clips), bool)), 1e-6, "blend")
    truth = np.eye(classes)[target]
    assert expected["top3_error"] == pytest.approx(top_k_error(truth, mean, 3), abs=atol)
    assert expected["map_at_3"] == pytest.approx(mean_average_precision(truth, mean, 3), abs=atol)
    assert expected["accuracy"] == pytest.approx(accuracy(truth, mean), abs=atol)


@pytest.mark.parametrize(("place", "case"), golden("hires_spectrogram", "schedule"))
def test_one_cycle_of_hires_is_the_published_one(place: GoldenSet, case: dict[str, Any]) -> None:
    """Learning rates of body and head, and the momentum, of every batch."""
    peaks = case["groups"]
    network = torch.nn.Sequential(*(torch.nn.Linear(1, 1) for _ in peaks))
    groups = tuple((str(number),) for number in range(len(peaks)))
    adam = optimiser(OptimiserSettings("adamw", peaks[-1], peaks[0], groups=groups), network)
    schedule, rates, momenta = OneCycle2(adam, OneCycleSettings(), Length(1, case["batches"])), [], []
    for _ in range(case["batches"]):
        rates.append([group["lr"] for group in adam.param_groups])
        momenta.append(adam.param_groups[0]["betas"][0])
        adam.step()
        schedule.step()
    for key, actual in (("lr", rates), ("momentum", momenta)):
        np.testing.assert_allclose(place.expected(case["expect"][key]), actual, rtol=case["tol"]["rel"])
