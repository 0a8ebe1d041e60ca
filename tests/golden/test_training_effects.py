"""SoX's effects as ex4sperans and the seventh place used them, against the program's output."""

from typing import Any

import numpy as np
import pytest
import torch
from training_cases import RATE, TrainingSet, made, training

from soundpost.training.augmentations.effects import Effects, EffectsDraw, EffectsSettings
from soundpost.training.batch import Batch
from soundpost.training.effects.overdrive import overdrive
from soundpost.training.effects.pitch import Segments, pitch
from soundpost.training.effects.reverb import Reverb, reverb
from soundpost.training.effects.speed import speed
from soundpost.training.sets.copies import COPIES


def of_case(case: dict[str, Any], waveform: torch.Tensor) -> torch.Tensor:
    """The effect of a case on (1, samples)."""
    settings = {key: value for key, value in case["settings"].items() if key != "wet_only"}
    if case["effect"] == "reverb":
        return reverb(waveform, Reverb(**settings), case["rate"])
    if case["effect"] == "pitch":
        return pitch(waveform, settings.pop("cents"), case["rate"], Segments(**settings))
    if case["effect"] == "overdrive":
        return overdrive(waveform, settings["gain_db"], settings["colour"])
    return speed(waveform, settings["factor"])


def assert_near(place: TrainingSet, case: dict[str, Any], actual: np.ndarray, levels: float = 1.0) -> None:
    """Samples within tolerance, single or as a root mean square, short of what is left out at each end."""
    expected, tolerance = case["expected"], case["tolerance"]
    assert expected["samples"] == len(actual)
    left = tolerance.get("left_out_at_each_end", 0)
    text = expected["waveform"]["slice"]
    step = int(text.strip("[]").split(":")[-1]) if text != "full" else 1
    wanted = place.array(expected["waveform"]).reshape(-1).astype(np.float64)
    found = (actual.astype(np.float64) * levels)[::step]
    inside = slice(left // step, len(wanted) - left // step)
    wanted, found = wanted[inside], found[inside]
    if "abs" in tolerance:
        assert np.abs(wanted - found).max() <= tolerance["abs"]
    if "rms_of_difference_over_rms" in tolerance:
        share = np.sqrt(((wanted - found) ** 2).mean() / (wanted**2).mean())
        assert share <= tolerance["rms_of_difference_over_rms"]
    if "correlation_at_least" in tolerance:
        assert np.corrcoef(wanted, found)[0, 1] >= tolerance["correlation_at_least"]
    assert {"abs", "rms_of_difference_over_rms", "correlation_at_least"} & set(tolerance)


@pytest.mark.parametrize(("place", "case"), training("ex4sperans", "effect"))
def test_effect_of_ex4sperans_is_that_of_the_program(place: TrainingSet, case: dict[str, Any]) -> None:
    """Reverb, pitch, overdrive and speed on bursts, a chirp, tones, clicks and one click."""
    out = of_case(case, torch.from_numpy(made(case["input"]))[None]).mean(0).numpy()
    assert_near(place, case, out)
    assert case["expected"]["largest"] == pytest.approx(np.abs(out).max(), abs=0.1)
    if "first_echo_at" in case["expected"]:
        behind = case["input"]["at"] + 1
        assert case["expected"]["first_echo_at"] == behind + int(np.flatnonzero(np.abs(out[behind:]) > 1e-6)[0])


@pytest.mark.parametrize(("place", "case"), training("ex4sperans", "effect_chain"))
def test_chain_of_ex4sperans_is_that_of_the_program(place: TrainingSet, case: dict[str, Any]) -> None:
    """All four in a row, as the augmentation applies them; draws stay within the published ranges."""
    waveform, given = torch.from_numpy(made(case["input"])), case["draws"]
    part = Effects(EffectsSettings(sample_rate=case["rate"]))
    drawn = EffectsDraw(
        torch.tensor([True]),
        torch.tensor([[given["reverberance"], given["room_scale"], given["stereo_depth"]]]),
        torch.tensor([given["cents"]]),
        torch.tensor([given["gain_db"]]),
        torch.tensor([given["factor"]]),
    )
    none = torch.zeros(1, dtype=torch.int64)
    batch = Batch(waveform[None], torch.tensor([len(waveform)]), torch.zeros(1, 1), none)
    assert case["order"] == ["reverb", "pitch", "overdrive", "speed"]
    out = part.apply(batch, drawn)
    assert case["expected"]["samples"] == int(out.lengths[0])
    assert_near(place, case, out.inputs[0].numpy())
    many = Batch(torch.zeros(3000, 1), torch.ones(3000).long(), torch.zeros(3000, 1), torch.zeros(3000).long())
    seen = part.draw(many, torch.Generator().manual_seed(2))
    columns = {"reverberance": seen.room[:, 0], "room_scale": seen.room[:, 1], "stereo_depth": seen.room[:, 2]}
    columns |= {"cents": seen.cents, "gain_db": seen.gain_db, "factor": seen.factor}
    for key, (low, high) in case["ranges"].items():
        assert low <= columns[key].min() <= columns[key].max() <= high
        assert columns[key].min() < low + 0.05 * (high - low)
        assert columns[key].max() > high - 0.05 * (high - low)


@pytest.mark.parametrize(("place", "case"), training("erc2019", "sox_copy"))
def test_copy_of_the_seventh_place_is_that_of_the_program(place: TrainingSet, case: dict[str, Any]) -> None:
    """Every copy of a clip, in levels of 16 bits; a long fade among them."""
    samples = made(case["input"]).astype(np.float64)
    waveform = torch.from_numpy((np.round(32767 * samples) / 32768).astype(np.float32))[None]
    assert_near(place, case, COPIES[case["copy"]](waveform, RATE)[0].numpy(), levels=32768)
