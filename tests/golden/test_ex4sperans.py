"""ex4sperans (third place of Freesound 2019): networks, frame counts, pipeline and blend as published."""

import re
from typing import Any

import numpy as np
import pytest
import torch
from cases import GoldenSet, assert_close, clip_path, decaying_noise, fill, golden
from torch import Tensor, nn

from soundpost.audio.decode import AudioSettings, decode
from soundpost.ensemble.blend import Blend
from soundpost.ensemble.recipes import Named
from soundpost.front_ends.log_stft import LogStft, LogStftSettings
from soundpost.importers.recipe_files import template
from soundpost.models import MODELS
from soundpost.registry import pick, settings_from

MODEL_OF = {
    "TwoDimensionalCNNClassificationModel": "ex4sperans_2d",
    "HierarchicalCNNClassificationModel": "ex4sperans_1d",
    "CNNBackboneClassificationModel": "ex4sperans_backbone",
}


def front_end(descriptor: str) -> LogStft:
    """Settings of "mel_<n_fft>_<hop>_<mels>" or "stft_<n_fft>_<hop>"."""
    kind, *sizes = descriptor.split("_")
    n_fft, hop_length, *n_mels = map(int, sizes)
    return LogStft(LogStftSettings(n_fft=n_fft, hop_length=hop_length, n_mels=n_mels[0] if kind == "mel" else 0))


def network(case: dict[str, Any], salt: str) -> nn.Module:
    settings = {key: value for key, value in case["config"].items() if key != "features"}
    if "kind" in settings:
        settings["aggregation"] = settings.pop("kind")
    if MODEL_OF[case["cls"]] == "ex4sperans_1d":
        settings["bins"] = front_end(case["config"]["features"]).shape(1)[1]
    model_class = pick(MODELS, MODEL_OF[case["cls"]], "model")
    return fill(model_class(settings_from(model_class.Settings, settings, case["cls"]), 80), salt)


def padded(rows: list[np.ndarray]) -> Tensor:
    """Zeros at the end, up to the longest."""
    longest = max(map(len, rows))
    return torch.from_numpy(np.stack([np.pad(row, (0, longest - len(row))) for row in rows]))


def answer(model: nn.Module, batch: Tensor) -> Tensor:
    with torch.inference_mode():
        return model(batch)


@pytest.mark.parametrize(("place", "case"), golden("ex4sperans", "net"))
def test_network_of_ex4sperans_gives_the_published_logits(place: GoldenSet, case: dict[str, Any]) -> None:
    """Corners of every block, the summaries, logits and probabilities."""
    waveforms = padded([decaying_noise(*map(int, re.findall(r"\d+", row))) for row in case["inputs"]["rows"]])
    model = network(case, case["salt"])
    if case["flip_odd"]:
        for name, tensor in model.state_dict().items():
            if tensor.dim() == 1 and name.endswith(".weight"):
                tensor[1::2] *= -1
    found: dict[str, Tensor] = {}
    if hasattr(model, "conv_modules"):
        stages = list(model.conv_modules)
    else:
        stages = [model.backbone.layer1, model.backbone.layer2, model.backbone.layer3, model.backbone.layer4]
    for stage, module in enumerate(stages):
        module.register_forward_hook(lambda _, __, output, key=f"stage{stage}": found.update({key: corners(output)}))
    model.output_transform.register_forward_pre_hook(lambda _, inputs: found.update(features=inputs[0]))
    found["logits"] = answer(model, front_end(case["config"]["features"])(waveforms))
    found["prob"] = found["logits"].sigmoid()
    arrays = place.arrays(case["npz"])
    for key, tolerance in case["tolerance_abs"].items():
        assert_close(arrays[f"{case['id']}.{key}"], found[key].numpy(), tolerance, key)


def corners(stage: Tensor) -> Tensor:
    """Sample 0, channels 0 to 3: first and last bin by first and last frame, or first and last frame."""
    first = stage[0, :4]
    return (first[:, [0, 0, -1, -1], [0, -1, 0, -1]] if first.dim() == 3 else first[:, [0, -1]]).T


@pytest.mark.parametrize(
    ("place", "case"), golden("ex4sperans", "constant", where=lambda c: c["id"] == "frequency_map")
)
def test_frequency_map_of_ex4sperans_is_the_published_one(place: GoldenSet, case: dict[str, Any]) -> None:
    """The second channel of the first block runs from -1 at the lowest band to 1 at the highest."""
    expected = place.arrays(case["npz"])["frequency_map"]
    model = pick(MODELS, "ex4sperans_2d", "model")
    model = model(model.Settings(blocks=1, base=2, start=0), 3).eval()
    seen: list[Tensor] = []
    model.conv_modules[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    answer(model, torch.zeros(1, 1, expected.size, 4))
    assert_close(expected.ravel(), seen[0][0, 1, :, 2].numpy(), case["tolerance_abs"]["frequency_map"], "frequency map")


@pytest.mark.parametrize(("place", "case"), golden("ex4sperans", "lengths"))
def test_frames_of_ex4sperans_are_the_published_counts(place: GoldenSet, case: dict[str, Any]) -> None:
    """Frames of each padded batch of the released loader, for both front ends."""
    for batches in case["sequential"].values():
        for batch in batches:
            samples = batch["padded_length"]
            assert batch["logmel_frames"] == front_end("mel_2048_1024_128").shape(samples)[2]
            assert batch["stft256_128_frames"] == front_end("stft_256_128").shape(samples)[2]


@pytest.mark.parametrize(("place", "case"), golden("ex4sperans", "pipeline"))
def test_pipeline_of_ex4sperans_gives_the_published_blend(place: GoldenSet, case: dict[str, Any]) -> None:
    """Each clip alone, as the kit runs them, and in one padded batch, as the released scripts did."""
    audio = AudioSettings(**template("ex4sperans_2d")["audio"])
    waveforms = [decode(clip_path(c["clip"]), audio).waveform[: c["first_samples"]] for c in case["clips"]]
    arrays, tolerance, prefix = place.arrays(case["npz"]), case["tolerance_abs"], case["salt_prefix"]
    means = case.get("tolerance_mean_abs", {})
    members: list[str] = []
    table: dict[str, list[np.ndarray]] = {"together": [], "alone": []}
    for entry in case["models"]:
        features = front_end(entry["config"]["features"])
        inputs = {"together": [features(padded(waveforms))], "alone": [features(padded([w])) for w in waveforms]}
        for fold in range(case["folds"]):
            model = network(entry, f"{prefix}{entry['name']}.fold{fold}.")
            members.append(f"{entry['name']}/{fold}")
            for way, batches in inputs.items():
                logits = torch.cat([answer(model, batch) for batch in batches])
                key = f"{entry['name']}.logits_{way}"
                expected = arrays[f"pipe.{entry['name']}.fold{fold}.logits_{way}"]
                assert_close(expected, logits.numpy(), tolerance[key], f"{key}, fold {fold}")
                if key in means:
                    assert np.abs(expected - logits.numpy()).mean() <= means[key], (
                        f"{key}, fold {fold}: mean difference"
                    )
                table[way].append(logits.sigmoid().numpy())
    blend = Blend(Named("mean", {"folds": "mean"}), members)
    for way, probabilities in table.items():
        found = blend(np.stack(probabilities), np.ones((len(members), len(waveforms)), bool))
        assert_close(arrays[f"pipe.final_{way}"], found, tolerance[f"final_{way}"], f"final {way}")
