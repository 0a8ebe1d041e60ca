"""qrfaction (second place of Freesound 2019): networks, segments, stacker, pipeline and blend as published."""

import re
from typing import Any

import numpy as np
import pytest
import torch
from cases import GoldenSet, assert_close, clip_path, clip_waveform, decaying_noise, fill, golden
from torch import Tensor, nn

from soundpost.audio.decode import AudioSettings, decode
from soundpost.audio.trim import trim
from soundpost.ensemble.blend import Blend, Network
from soundpost.ensemble.recipes import Named
from soundpost.front_ends.segments import Segments as SegmentsFrontEnd
from soundpost.front_ends.segments import SegmentsSettings, global_statistics
from soundpost.functional.qrfaction_layout import pack, unpack
from soundpost.importers.recipe_files import template
from soundpost.models.qrfaction import Qrfaction, QrfactionSettings
from soundpost.models.qrfaction_stacker import Stacker, StackerSettings
from soundpost.registry import settings_from
from soundpost.views.segments import Segments
from soundpost.views.segments import SegmentsSettings as ViewSettings


def numbers(rule: str) -> list[int]:
    return [int(n) for n in re.findall(r"\d+", rule)]


def network(case: dict[str, Any], salt: str, rnn_unit: int = 128) -> nn.Module:
    settings = QrfactionSettings(case["net"], case["pool_mode"][1], case["w_ratio"], case.get("rnn_unit", rnn_unit))
    return fill(Qrfaction(settings, 80), salt)


def answer(model: nn.Module, batch: Tensor) -> Tensor:
    with torch.inference_mode():
        return model(batch)


@pytest.mark.parametrize(("place", "case"), golden("qrfaction", "net"))
def test_network_of_qrfaction_gives_the_published_logits(place: GoldenSet, case: dict[str, Any]) -> None:
    """Corners of every stage, the two feature vectors, logits and probabilities."""
    seed, batch, *shape = numbers(case["inputs"]["mel"])
    images = np.random.RandomState(seed).uniform(-80, 0, (batch, *shape)).astype(np.float32)
    seed, _ = numbers(case["inputs"]["gfeat"])
    statistics = (0.1 * np.random.RandomState(seed).standard_normal((batch, 128, 12))).astype(np.float32)
    seed, _ = numbers(case["inputs"]["length"])
    lengths = np.random.RandomState(seed).uniform(0.02, 1.5, (batch, 1)).astype(np.float32)
    rows = zip(torch.from_numpy(images), torch.from_numpy(statistics), lengths, strict=True)
    inputs = torch.stack([pack(image.T, statistic, length[0].item()) for image, statistic, length in rows])
    model = network(case, case["salt"])
    if case["flip_odd"]:
        for name, tensor in model.state_dict().items():
            if tensor.dim() == 1 and name.endswith(".weight"):
                tensor[1::2] *= -1
    found: dict[str, Tensor] = {}
    for stage, module in enumerate([model.stem, *model.blocks]):
        module.register_forward_hook(lambda _, __, output, key=f"stage{stage}": found.update({key: corners(output)}))
    found["logits"] = answer(model, inputs)
    found["prob"] = found["logits"].sigmoid()
    images, statistics, _ = unpack(inputs)
    with torch.inference_mode():
        found["backbone"], found["gfeat"] = model.image_features(images), model.statistic_features(statistics)
    arrays = place.arrays(case["npz"])
    for key, actual in found.items():
        assert_close(arrays[f"{case['id']}.{key}"], actual.numpy(), case["tolerance_abs"][key], key)


def corners(stage: Tensor) -> Tensor:
    """Sample 0: first and last frame by first and last mel, channels 0 to 3."""
    return stage[0, :4][:, [0, 0, -1, -1], [0, -1, 0, -1]].T


@pytest.mark.parametrize(("place", "case"), golden("qrfaction", "frontend"))
def test_image_of_qrfaction_is_the_published_one(place: GoldenSet, case: dict[str, Any]) -> None:
    """Decibels below the loudest cell, with the padding of Keras."""
    waveform = torch.from_numpy(decaying_noise(*numbers(case["inputs"]["audio"])))
    image = SegmentsFrontEnd(SegmentsSettings()).image(waveform).T.numpy()
    assert case["stats"]["shape"] == list(image.shape)
    assert_close(place.arrays(case["npz"])[case["arrays"][0]], image[::4], case["tolerance_abs"]["mel_db"], "image")


@pytest.mark.parametrize(("place", "case"), golden("qrfaction", "gfeat"))
def test_statistics_of_qrfaction_are_the_published_ones(place: GoldenSet, case: dict[str, Any]) -> None:
    """Twelve numbers of 128 windows."""
    found = global_statistics(decaying_noise(*numbers(case["inputs"]["audio"])))
    assert_close(place.arrays(case["npz"])[case["arrays"][0]], found, case["tolerance_abs"]["gfeat"], "statistics")


@pytest.mark.parametrize(("place", "case"), golden("qrfaction", "clip"))
def test_clip_of_qrfaction_gives_the_published_input(place: GoldenSet, case: dict[str, Any]) -> None:
    """Cut points, three segments, statistics and length of a real clip."""
    waveform = clip_waveform(case["clip"])
    start, end = trim(waveform, 60.0, "reflect")
    assert case["trim"] == [start, end]
    front_end = SegmentsFrontEnd(SegmentsSettings())
    for crop, segment in zip(case["crops"], front_end.segments(torch.from_numpy(waveform[start:end])), strict=True):
        assert crop["n"] == len(segment)
        assert crop["sum_sq"] == pytest.approx(float((segment.double() ** 2).sum()), rel=1e-5)
    packed = front_end(torch.from_numpy(waveform)[None])
    assert front_end.shape(len(waveform)) == tuple(packed.shape[1:])
    images, statistics, length = unpack(packed)
    assert case["length_feature"] == pytest.approx(float(length), abs=1e-6)
    arrays = place.arrays(case["npz"])
    expected = arrays[f"{case['id']}.mel"]
    found = images[0, 0].T.reshape(len(expected), -1, images.shape[2]).numpy()[:, ::8]
    assert_close(expected, found, case["tolerance_abs"]["mel_db"], "images")
    assert np.abs(expected - found).mean() <= case["tolerance_mean_abs"]["mel_db"]
    assert_close(arrays[f"{case['id']}.gfeat"], statistics[0].numpy(), case["tolerance_abs"]["gfeat"], "statistics")


@pytest.mark.parametrize(("place", "case"), golden("qrfaction", "lengths"))
def test_segments_of_qrfaction_lie_where_published(place: GoldenSet, case: dict[str, Any]) -> None:
    """First sample and zeros on both sides of the three positions, for every length."""
    front_end = SegmentsFrontEnd(SegmentsSettings())
    for row in case["rows"]:
        segments = front_end.segments(torch.arange(1.0, row["n"] + 1))
        for name, segment in zip(("pred1", "pred2", "pred3"), segments, strict=True):
            inside = torch.nonzero(segment).flatten()
            first, last = int(inside[0]), int(inside[-1])
            found = [int(segment[first]) - 1, first, len(segment) - 1 - last]
            assert row[name] == found, f"{row['n']} samples, {name}"


def stacker(place: GoldenSet, salt: str | None) -> nn.Module:
    """The second level, untrained where no salt is given."""
    model = Stacker(StackerSettings(), 80).eval()
    if salt is not None:
        names = Wrapped(model)
        fill(names, salt)
    return model


class Wrapped(nn.Module):
    """Gives the names "stacker.local.weight", as the golden cases have them."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.stacker = model


@pytest.mark.parametrize(("place", "case"), golden("qrfaction", "stacker"))
def test_stacker_of_qrfaction_gives_the_published_probabilities(place: GoldenSet, case: dict[str, Any]) -> None:
    """Untrained and filled."""
    seed, _, _, *shape = numbers(case["inputs"]["x"].replace("float32", ""))
    inputs = torch.from_numpy(np.random.RandomState(seed).uniform(0, 1, shape).astype(np.float32)).transpose(1, 2)
    arrays = place.arrays(case["npz"])
    for name, salt in (("stacker.init", None), ("stacker.fill", case["salt"])):
        found = answer(stacker(place, salt), inputs).sigmoid().numpy()
        assert_close(arrays[name], found, case["tolerance_abs"][name], name)


@pytest.mark.parametrize(("place", "case"), golden("qrfaction", "constraint"))
def test_constraint_of_qrfaction_gives_weights_of_length_one(place: GoldenSet, case: dict[str, Any]) -> None:
    """The weights of each class after the constraint."""
    salts = [other["salt"] for other in place.table["cases"] if other["type"] == "stacker"]
    model = stacker(place, case.get("salt", salts[0] if salts else ""))
    model.local.constrain()
    expected = place.arrays(case["npz"])[case["arrays"][0]]
    assert_close(expected, model.local.weight.detach().numpy(), case["tolerance_abs"]["constraint"], "weights")


@pytest.mark.parametrize(("place", "case"), golden("qrfaction", "pipeline"))
def test_pipeline_of_qrfaction_gives_the_published_submission(place: GoldenSet, case: dict[str, Any]) -> None:
    """From files to logits of all positions, to the weighted mean, to the stacker's answer."""
    table = template("qrfaction")
    front_end_table = {key: value for key, value in table["front_end"].items() if key != "name"}
    front_end = SegmentsFrontEnd(settings_from(SegmentsSettings, front_end_table, "front end"))
    view_table = {key: value for key, value in table["views"][0].items() if key != "name"}
    view = Segments(settings_from(ViewSettings, view_table, "view"))
    audio = AudioSettings(**table["audio"])
    windows = []
    for clip in case["clips"]:
        spectrogram = front_end(torch.from_numpy(decode(clip_path(clip), audio).waveform)[None])[0]
        windows.append(torch.stack([view.cut(spectrogram, w) for w in view.windows(spectrogram.shape[-1])]))
    batch = view.prepare(torch.stack(windows, 1))  # (positions, clips, ...)
    arrays, tolerance, prefix = place.arrays(case["npz"]), case["tolerance_abs"], case["salt_prefix"]
    members, probabilities = [], []
    for entry in case["models"]:
        for fold in range(case["folds"]):
            model = network(entry, f"{prefix}{entry['name']}.fold{fold}.")
            logits = answer(model, batch.flatten(0, 1)).reshape(*batch.shape[:2], -1)
            key = f"{entry['name']}.fold{fold}.logits"
            assert_close(arrays[f"pipe.{key}"], logits.numpy(), tolerance[f"{entry['name']}.logits"], key)
            members.append(f"{entry['name']}/{fold}")
            probabilities.append(logits.sigmoid().mean(0).numpy())
    names = [entry["name"] for entry in case["models"]]
    weights = {entry["name"]: entry["ensemble_weight"] for entry in case["models"]}
    for entry, name in zip(case["models"], names, strict=True):
        mine = np.mean([p for p, member in zip(probabilities, members, strict=True) if member.split("/")[0] == name], 0)
        assert_close(arrays[f"pipe.{name}.pred"], mine, tolerance[f"{entry['name']}.pred"], name)
    ensemble = {"output": "ensemble", "name": "mean", "inputs": names, "weights": weights}
    last = {"output": "answer", "name": "second_level", "recipe": "stacker", "inputs": [*names, "ensemble"]}
    filled = [stacker(place, f"{prefix}stacker.fold{fold}.") for fold in range(case["folds"])]
    for key, stages, second_level in (
        ("ensemble", [ensemble], {}),
        ("final", [ensemble, last], {"stacker": [function(model) for model in filled]}),
        ("final_init", [ensemble, last], {"stacker": [function(stacker(place, None))]}),
    ):
        blend = Blend(Named("stages", {"folds": "mean", "stages": stages}), members, second_level)
        found = blend(np.array(probabilities), np.ones((len(members), len(case["clips"])), bool))
        assert_close(arrays[f"pipe.{key}"], found, tolerance[key], key)


def function(model: nn.Module) -> Network:
    return lambda rows: answer(model, torch.from_numpy(rows)).sigmoid().numpy()
