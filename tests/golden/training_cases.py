"""Finds the golden cases of training.json and makes their inputs; see shared/golden/TRAINING.md for the rules."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import REQUIRES_SHARED, SHARED, _arrays, part

RATE = 44100  # Hz, of waveforms made by rule
ASKED_FOR: set[tuple[str, str]] = set()  # (system, kind) that some test is parametrised with


@dataclass(frozen=True)
class TrainingSet:
    """One training.json and the arrays beside it."""

    folder: Path
    table: dict[str, Any]

    def array(self, entry: dict[str, Any]) -> np.ndarray:
        """The array that {"key": ...} names, as it is stored."""
        return _arrays(self.folder / self.table["npz"])[entry["key"]]


def training_sets() -> list[TrainingSet]:
    """Every training.json of the golden folder, in the order of their paths."""
    root = Path(os.environ.get("SOUNDPOST_GOLDEN") or SHARED / "golden")
    return [TrainingSet(path.parent, json.loads(path.read_text())) for path in sorted(root.rglob("training.json"))]


def training(system: str, *kinds: str) -> list[Any]:
    """Parameters (place, case) for pytest.mark.parametrize, one for each case of those kinds."""
    ASKED_FOR.update((system, kind) for kind in kinds)
    found = [
        pytest.param(place, case, id=f"{place.folder.name}/{case['id']}", marks=[REQUIRES_SHARED])
        for place in training_sets()
        if place.folder.name.startswith(system)
        for case in place.table["cases"]
        if case["kind"] in kinds
    ]
    if found:
        return found
    reason = f"no {' or '.join(kinds)} case of {system} in the golden folder (see SOUNDPOST_GOLDEN)"
    return [pytest.param(None, None, id=f"{system}/none", marks=[REQUIRES_SHARED, pytest.mark.skip(reason=reason)])]


def made(source: dict[str, Any]) -> np.ndarray:
    """The input that a rule describes; its stored check numbers are compared."""
    rule, shape = source["rule"], tuple(source.get("shape", (source.get("samples"),)))
    random = np.random.RandomState(source.get("seed", 0))
    array = WAVEFORMS[rule](random, shape[0], source) if rule in WAVEFORMS else RULES[rule](random, shape, source)
    whole = array.astype(np.dtype(source.get("dtype", "float32")))
    if "check" in source:
        check = source["check"]
        np.testing.assert_allclose(whole.ravel()[:3].astype(np.float64), check["first"], rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose((whole.astype(np.float64) ** 2).sum(), check["sum_sq"], rtol=1e-6)
    return whole


def _spectrogram(random: np.random.RandomState, shape: tuple[int, ...], source: dict[str, Any]) -> np.ndarray:
    array = 6 * random.standard_normal(shape)
    array = array + 8 * random.standard_normal((*shape[:-1], 1))
    return array + 8 * random.standard_normal((*shape[:-2], 1, shape[-1])) - 30


def _labels(random: np.random.RandomState, shape: tuple[int, ...], source: dict[str, Any]) -> np.ndarray:
    clips, classes = shape
    first, second = random.randint(0, classes, clips), random.randint(0, classes, clips)
    both = random.uniform(0, 1, clips) < source["p"]
    array = np.zeros(shape)
    array[np.arange(clips), first] = 1
    array[np.flatnonzero(both), second[both]] = 1
    return array


def _ramp(random: np.random.RandomState, shape: tuple[int, ...], source: dict[str, Any]) -> np.ndarray:
    row, column = np.indices(shape)
    return 2 * row + 0.5 * column + 7


RULES = {
    "normal": lambda r, shape, s: s.get("shift", 0.0) + s.get("scale", 1.0) * r.standard_normal(shape),
    "uniform": lambda r, shape, s: r.uniform(s.get("lo", 0.0), s.get("hi", 1.0), shape),
    "probabilities": lambda r, shape, s: r.uniform(0, 1, shape) ** 2,
    "binary": lambda r, shape, s: (r.uniform(0, 1, shape) < s["p"]).astype(float),
    "integers": lambda r, shape, s: r.randint(s["lo"], s["hi"], shape),
    "spectrogram": _spectrogram,
    "labels": _labels,
    "ramp": _ramp,
}


def _clicks(random: np.random.RandomState, samples: int, source: dict[str, Any]) -> np.ndarray:
    array, at = np.zeros(samples), np.sort(random.randint(0, samples, 12))
    array[at] = random.uniform(-0.8, 0.8, 12)
    return array


def _tones(random: np.random.RandomState, samples: int, source: dict[str, Any]) -> np.ndarray:
    t, frequencies = np.arange(samples) / RATE, random.uniform(150, 1500, 3)
    return sum(0.2 * np.sin(2 * np.pi * frequency * t + i) for i, frequency in enumerate(frequencies))


def _noise_bursts(random: np.random.RandomState, samples: int, source: dict[str, Any]) -> np.ndarray:
    t = np.arange(samples) / RATE
    return 0.2 * random.standard_normal(samples) * np.exp(-8 * t) * (np.sin(2 * np.pi * 6 * t) > 0)


def _chirp(random: np.random.RandomState, samples: int, source: dict[str, Any]) -> np.ndarray:
    t = np.arange(samples) / RATE
    return 0.4 * np.sin(2 * np.pi * (300 * t + 900 * t**2)) + 0.02 * random.standard_normal(samples)


def _one_click(random: np.random.RandomState, samples: int, source: dict[str, Any]) -> np.ndarray:
    array = np.zeros(samples)
    array[source["at"]] = source["height"]
    return array


WAVEFORMS = {
    "noise_bursts": _noise_bursts,
    "chirp": _chirp,
    "tones": _tones,
    "clicks": _clicks,
    "one click": _one_click,
}


def stored(entry: dict[str, Any], whole: np.ndarray) -> np.ndarray:
    """The part of a whole result that the npz holds."""
    text = entry.get("slice", "full").split(",  plane")[0]
    return whole if text == "full" else part(whole, text.split("], ")[0] + ("]" if "], " in text else ""))
