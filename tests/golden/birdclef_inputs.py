"""Inputs of the birdclef sets: rules that make arrays from names, clips taken as they stand, and composed minutes."""

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from cases import GoldenSet, clip_waveform

RATE = 32000
FIRST_AND_LAST = "samples [0:160000] and [-160000:] of the decoded clip, as they stand"


def made(source: Mapping[str, Any], place: GoldenSet) -> np.ndarray:
    """The array that an input of a case describes, before what its "then" asks for."""
    if "file" in source and "key" in source:
        return place.expected(source)
    rule, salt = source["rule"], place.salt
    if rule == FIRST_AND_LAST:
        waveform, length = clip_waveform(source["clip"]), source["shape"][1]
        return np.stack([waveform[:length], waveform[-length:]])
    if rule == "soundscape":
        return soundscape(source["recipe"], salt)
    shape = tuple(source["shape"])
    if rule.startswith("probs"):
        values = probs(source["name"], shape, salt)
        return (values > float(rule.split(">")[1])).astype(np.float32) if ">" in rule else values
    if rule.startswith("normal"):
        values = normal(source["name"], shape, salt, source.get("scale", 1.0))
        return 1 / (1 + np.exp(-values)) if "1/(1+exp(-x))" in rule else values
    if rule == "picture":
        return picture(source["name"], shape, salt, source.get("low", 0.0), source.get("high", 1.0))
    if rule == "waves":
        return waves(source["name"], shape, salt)
    raise ValueError(f"input rule '{rule}' is not known. Add it to tests/golden/birdclef_inputs.py.")


def check(source: Mapping[str, Any], values: np.ndarray) -> None:
    """First numbers, sum and sum of squares of an input are those that its case gives."""
    if "check" in source:
        numbers = values.astype(np.float64)
        np.testing.assert_allclose(numbers.ravel()[:4], source["check"]["first"], rtol=1e-6)
        np.testing.assert_allclose([numbers.sum(), (numbers**2).sum()], [source["check"][k] for k in ("sum", "sum_sq")])


def _random(name: str, salt: str) -> np.random.RandomState:
    return np.random.RandomState(zlib.crc32((salt + "input:" + name).encode()))


def normal(name: str, shape: tuple[int, ...], salt: str = "", scale: float = 1.0) -> np.ndarray:
    """Normal numbers of a standard deviation, float32."""
    return (scale * _random(name, salt).standard_normal(shape)).astype(np.float32)


def probs(name: str, shape: tuple[int, ...], salt: str = "") -> np.ndarray:
    """Squares of uniform numbers, float32."""
    return (_random(name, salt).uniform(0.0, 1.0, shape) ** 2).astype(np.float32)


def picture(name: str, shape: tuple[int, ...], salt: str, low: float, high: float) -> np.ndarray:
    """Noise with a profile over mels and one over frames, each picture stretched to [low, high]; float32."""
    random = _random(name, salt)
    n, h, w = shape
    x = 0.5 * random.standard_normal((n, h, w))
    for profile in ((n, h, 1), (n, 1, w)):
        x = x + random.standard_normal(profile)
    x = x - x.min(axis=(1, 2), keepdims=True)
    x = x / x.max(axis=(1, 2), keepdims=True)
    return (low + (high - low) * x).astype(np.float32)


def waves(name: str, shape: tuple[int, ...], salt: str = "") -> np.ndarray:
    """Gated sweeps in noise at levels from 0.001 to 0.6, as if at 32 kHz; float32."""
    random = _random(name, salt)
    n, samples = shape
    t = np.arange(samples) / RATE
    result = np.zeros(shape)
    for i in range(n):
        level = 10.0 ** random.uniform(-3.0, -0.2)
        low, high = random.uniform(200.0, 6000.0), random.uniform(200.0, 12000.0)
        phase = random.uniform(0.0, 2.0 * np.pi)
        gate = (np.sin(2.0 * np.pi * 1.7 * t + phase) > 0).astype(np.float64)
        sweep = np.sin(2.0 * np.pi * (low * t + (high - low) * t**2 / (2.0 * samples / RATE)))
        result[i] = level * (0.6 * sweep * gate + 0.1 * random.standard_normal(samples))
    return result.astype(np.float32)


def soundscape(recipe: Mapping[str, Any], salt: str = "") -> np.ndarray:
    """A minute of noise with decoded clips in it, whose samples are taken as they stand; float32."""
    x = recipe["bed"] * _random(recipe["name"], salt).standard_normal(recipe["samples"])
    for clip, start, gain in recipe["clips"]:
        sound = clip_waveform(clip).astype(np.float64)[: recipe["samples"] - start]
        x[start : start + len(sound)] += gain * sound
    for first, last, factor in recipe["quiet"]:
        x[first:last] *= factor
    return x.astype(np.float32)
