"""argus (first place of Freesound 2019): networks, tiles, pipeline, ensemble, blend and checkpoint as published."""

import re
from typing import Any

import numpy as np
import pytest
import torch
from cases import GoldenSet, argus_input, assert_close, clip_path, fill, golden, part
from torch import Tensor, nn

from soundpost.audio.decode import AudioSettings, decode
from soundpost.ensemble.blend import Blend, Network
from soundpost.ensemble.recipes import Named
from soundpost.ensemble.weights_file import load_arrays
from soundpost.evaluation.metrics import lwlrap
from soundpost.front_ends import FRONT_ENDS
from soundpost.importers.argus import TEMPLATE_OF, import_argus
from soundpost.importers.recipe_files import template
from soundpost.models import MODELS
from soundpost.registry import pick, settings_from
from soundpost.views.tiles import Tiles, TilesSettings

ARGUS = template("argus")


def network(case: dict[str, Any], salt: str, gain: dict[str, float] | None = None) -> nn.Module:
    parameters = dict(case["params"])
    n_classes = parameters.pop("num_classes")
    model_class = pick(MODELS, TEMPLATE_OF[case["class"]][1], "model")
    model = model_class(settings_from(model_class.Settings, parameters, case["class"]), n_classes)
    return fill(model, salt, gain)


def tensor(source: dict[str, Any], salt: str) -> Tensor:
    return torch.from_numpy(argus_input(source["rule"], source["name"], tuple(source["shape"]), salt))


def run(model: nn.Module, batch: Tensor) -> tuple[np.ndarray, ...]:
    with torch.inference_mode():
        outputs = model(batch)
    return tuple(o.numpy() for o in (outputs if isinstance(outputs, tuple) else (outputs,)))


@pytest.mark.parametrize(("place", "case"), golden("argus", "network"))
def test_network_of_argus_gives_the_published_logits(place: GoldenSet, case: dict[str, Any]) -> None:
    """Every head, and the channel means of the modules where the case probes them."""
    model = network(case, case["salt"])
    seen: dict[str, Tensor] = {}
    for probe in case.get("probes", []):
        module = model.get_submodule(probe["module"])
        module.register_forward_hook(lambda _, __, output, key=probe["key"]: seen.update({key: output}))
    outputs = run(model, tensor(case["input"], case["salt"]))
    arrays = place.arrays(case["file"])
    for expected, actual in zip(case["outputs"], outputs, strict=True):
        assert_close(arrays[expected["key"]], actual, case["atol"], expected["head"])
    for key, output in seen.items():
        means = output.mean((2, 3)) if output.dim() == 4 else output
        assert_close(arrays[key], means.numpy(), case["atol"], key)


@pytest.mark.parametrize(("place", "case"), golden("argus", "network", where=lambda case: case.get("class") == "FCNet"))
def test_second_level_of_argus_takes_no_dropout_as_none(place: GoldenSet, case: dict[str, Any]) -> None:
    """The published class takes p_dropout = None; names of weights and logits are those of any other dropout."""
    without = {**case, "params": {**case["params"], "p_dropout": None}}
    model = network(without, case["salt"])
    logits = run(model, tensor(case["input"], case["salt"]))[0]
    assert_close(place.arrays(case["file"])[case["outputs"][0]["key"]], logits, case["atol"], "logits")
    assert not any(isinstance(module, nn.Dropout) for module in model.modules())


@pytest.mark.parametrize(("place", "case"), golden("argus", "tiles"))
def test_tiles_of_argus_lie_where_published(place: GoldenSet, case: dict[str, Any]) -> None:
    """Number, origin, padding and content of the tiles."""
    rows, columns = (int(n) for n in re.search(r"shape \((\d+), (\d+)\)", case["image"]).groups())
    row, column, offset = (float(n) for n in re.search(r"(\S+)\*row \+ (\S+)\*column \+ (\S+)", case["image"]).groups())
    image = row * torch.arange(rows)[:, None] + column * torch.arange(columns)[None] + offset
    view = Tiles(TilesSettings(frames=case["tile"][1], step=case["step"][1]))
    windows = view.windows(columns)
    assert case["origins_in_unpadded_image"] == [window.start for window in windows]
    tiles = torch.stack([view.cut(image[None], window) for window in windows])[:, 0].numpy()
    arrays = place.arrays(case["file"])
    np.testing.assert_array_equal(arrays[case["expected"]["row0"]["key"]].astype(np.float32), tiles[:, 0])
    sums = arrays[case["expected"]["sums"]["key"]]
    np.testing.assert_allclose(sums, tiles.astype(np.float64).sum((1, 2)), rtol=case["rtol"])


def tile_tensors(clip: str, case: dict[str, Any]) -> Tensor:
    """What the networks see of a clip, by the recipe template alone (the case's tile and step)."""
    waveform = decode(clip_path(clip), AudioSettings(**ARGUS["audio"])).waveform
    settings = dict(ARGUS["front_end"])
    front_end_class = pick(FRONT_ENDS, settings.pop("name"), "front end")
    spectrogram = front_end_class(settings_from(front_end_class.Settings, settings, "argus"))(
        torch.from_numpy(waveform)[None]
    )[0]
    view = Tiles(TilesSettings(frames=case["tile"][1], step=case["step"][1]))
    return view.prepare(torch.stack([view.cut(spectrogram, window) for window in view.windows(spectrogram.shape[-1])]))


def probabilities(model: nn.Module, tiles: Tensor, batch_size: int) -> np.ndarray:
    return np.concatenate([torch.from_numpy(run(model, chunk)[0]).sigmoid() for chunk in tiles.split(batch_size)])


@pytest.mark.parametrize(("place", "case"), golden("argus", "pipeline"))
def test_pipeline_of_argus_gives_the_published_probabilities(place: GoldenSet, case: dict[str, Any]) -> None:
    """From the file to what the network sees of each tile, its probabilities, and the mean over tiles."""
    tiles = tile_tensors(case["clip"], case)
    seen, arrays = case["tile_tensors"], place.arrays(case["file"])
    assert tuple(seen["shape"]) == tuple(tiles.shape)
    stored = place.arrays(seen["file"])
    assert_close(
        stored[seen["grid"]["key"]], part(tiles.numpy(), seen["grid"]["slice"]), seen["atol"], "what the network sees"
    )
    edges = np.concatenate([tiles[..., ::8, :6].numpy(), tiles[..., ::8, -6:].numpy()], axis=-1)
    assert_close(stored[seen["edges"]["key"]], edges, seen["atol"], "edges of the tiles")
    answers = probabilities(network(case, case["salt"], case.get("gain")), tiles, case["batch_size"])
    assert_close(arrays[case["expected"]["tile_probabilities"]["key"]], answers, case["atol"], "tiles")
    assert_close(arrays[case["expected"]["clip_probabilities"]["key"]], answers.mean(0), case["atol"], "clip")


@pytest.mark.parametrize(("place", "case"), golden("argus", "ensemble"))
def test_ensemble_of_argus_gives_the_published_submission(place: GoldenSet, case: dict[str, Any]) -> None:
    """Mean over tiles, geometric mean over folds, second level on the first, geometric mean of all experiments."""
    clips = [tile_tensors(clip, case) for clip in sorted(case["clips"], key=lambda clip: clip.split("/")[-1])]
    first, second = case["first_level"], case["second_level"]
    folds = range(case["folds"])
    members, table = [], []
    for experiment in first:
        for fold in folds:
            salt = f"{case['salt']}{experiment['experiment']}/fold_{fold}/"
            model = network(experiment, salt, case["gain"]["first_level"])
            members.append(f"{experiment['experiment']}/{fold}")
            table.append([probabilities(model, tiles, 16).mean(0) for tiles in clips])
    second_level: dict[str, list[Network]] = {
        experiment["experiment"]: [
            second_level_fold(experiment, f"{case['salt']}{experiment['experiment']}/fold_{fold}/", case["gain"])
            for fold in folds
        ]
        for experiment in second
    }
    names, stacked = [e["experiment"] for e in first], [e["experiment"] for e in second]
    stages = [{"output": f"{name}'", "name": "second_level", "recipe": name, "inputs": names} for name in stacked]
    last = {"output": "answer", "name": "geometric_mean", "inputs": [*names, *(f"{name}'" for name in stacked)]}

    def answer(*chosen: dict[str, Any]) -> np.ndarray:
        rule = Named("stages", {"folds": "geometric_mean", "stages": list(chosen)})
        return Blend(rule, members, second_level)(
            np.array(table, np.float32), np.ones((len(members), len(clips)), bool)
        )

    arrays = place.arrays(case["file"])
    inputs = [answer({"output": "x", "name": "mean", "inputs": [name]}) for name in names]
    for key, actual in (
        ("stack_input", np.concatenate(inputs, axis=1)),
        ("second_level", np.stack([answer(stage) for stage in stages])),
        ("submission", answer(*stages, last)),
    ):
        assert_close(arrays[case["expected"][key]["key"]], actual, case["atol"], key)


def second_level_fold(experiment: dict[str, Any], salt: str, gain: dict[str, dict[str, float]]) -> Network:
    model = network(experiment, salt, gain["second_level"])
    return lambda rows: torch.from_numpy(run(model, torch.from_numpy(rows))[0]).sigmoid().numpy()


@pytest.mark.parametrize(("place", "case"), golden("argus", "blend"))
def test_geometric_mean_of_argus_is_the_published_one(place: GoldenSet, case: dict[str, Any]) -> None:
    """Float32 in and out; one zero makes the result zero."""
    source = case["input"]
    table = argus_input(source["rule"], source["name"], tuple(source["shape"]), source["salt"])
    if zero := re.search(r"set element \[(\d+), (\d+), (\d+)\] to 0", source.get("then", "")):
        table[tuple(int(n) for n in zero.groups())] = 0
    blend = Blend(Named("geometric_mean", {}), [f"r{i}/0" for i in range(len(table))])
    expected = place.arrays(case["file"])[case["expected"]["gmean"]["key"]]
    assert_close(expected, blend(table, np.ones(table.shape[:2], bool)), case["atol"], "geometric mean")


@pytest.mark.parametrize(("place", "case"), golden("argus", "metric"))
def test_metric_of_argus_is_the_published_lwlrap(place: GoldenSet, case: dict[str, Any]) -> None:
    """The overall score; clips without a label are skipped."""
    tables = {}
    for key, source in case["inputs"].items():
        options = {"p": source["p"]} if "p" in source else {}
        tables[key] = argus_input(source["rule"], source["name"], tuple(source["shape"]), source["salt"], **options)
    assert case["overall"] == pytest.approx(lwlrap(tables["truth"], tables["scores"]), abs=case["atol"])


@pytest.mark.parametrize(("place", "case"), golden("argus", "checkpoint"))
def test_checkpoint_of_argus_is_imported_without_executing_it(
    place: GoldenSet, case: dict[str, Any], tmp_path: Any
) -> None:
    """The published container becomes a recipe whose network gives the published logits."""
    labels = tuple(f"class {i}" for i in range(place.arrays(case["file"])[case["outputs"][0]["key"]].shape[1]))
    recipe = import_argus(place.folder / case["file_pth"], tmp_path / "tiny", "tiny", labels)
    member = recipe.members[0]
    model_class = pick(MODELS, recipe.model.name, "model")
    model = model_class(settings_from(model_class.Settings, recipe.model.settings, "tiny"), len(labels)).eval()
    arrays = load_arrays(tmp_path / "tiny" / member.file, member.sha256, member.name)
    model.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    outputs = run(model, tensor(case["input"], case["input"]["salt"]))
    expected = place.arrays(case["file"])
    for entry, actual in zip(case["outputs"], outputs, strict=True):
        assert_close(expected[entry["key"]], actual, case["atol"], entry["head"])
