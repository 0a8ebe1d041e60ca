"""Finds golden cases, their clips and their inputs; every number of a case comes from its cases.json.

SOUNDPOST_GOLDEN is a folder that holds cases.json files at any depth (default: shared/golden beside the checkout),
SOUNDPOST_CLIPS the folders in which clips are looked up by base name, separated as in PATH.
"""

import functools
import json
import os
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

SHARED = Path(__file__).resolve().parents[3] / "shared"
KEPT = Path(__file__).parent / "kept"  # small cases that travel with the code, so that parity is tested everywhere
SLICE = re.compile(r"^\[.*\]$")


@dataclass(frozen=True)
class GoldenSet:
    """One cases.json and the arrays beside it."""

    folder: Path
    table: Mapping[str, Any]

    @property
    def salt(self) -> str:
        """What is put before the names from which weights are made."""
        return self.table.get("salt", "")

    def arrays(self, file: str) -> Mapping[str, np.ndarray]:
        """The arrays of one .npz file beside cases.json, by key."""
        return _arrays(self.folder / file)

    def expected(self, entry: Mapping[str, Any]) -> np.ndarray:
        """The array that an entry {"file", "key", ...} of a case names."""
        return self.arrays(entry["file"])[entry["key"]]


def golden_sets(system: str) -> list[GoldenSet]:
    """Every set of cases of that system, the kept ones first, then the golden folder's in the order of their paths."""
    root = Path(os.environ.get("SOUNDPOST_GOLDEN") or SHARED / "golden")
    paths = [path for folder in (KEPT, root) for path in sorted(folder.rglob("cases.json"))]
    sets = [GoldenSet(path.parent, json.loads(path.read_text())) for path in paths]
    return [found for found in sets if str(found.table.get("system", "")).split(" ")[0] == system]


def golden(system: str, *kinds: str, section: str = "cases", where: Callable[[Any], bool] = bool) -> list[Any]:
    """Parameters (golden_set, case) for pytest.mark.parametrize, one for each case of those kinds.

    Args:
        system: the first word of "system" in cases.json, such as "argus".
        kinds: values of a case's "kind" or "type"; none means all.
        section: the list in cases.json that holds the cases.
        where: keeps a case if true of it.
    """
    found = []
    for place in golden_sets(system):
        for index, case in enumerate(place.table.get(section, [])):
            if (not kinds or case.get("kind", case.get("type")) in kinds) and where(case):
                name = case.get("id") or case.get("name") or f"{section}/{index}"
                marks = [] if KEPT in place.folder.parents else [REQUIRES_SHARED]
                found.append(pytest.param(place, case, id=f"{place.folder.name}/{name}", marks=marks))
    if found:
        return found
    reason = f"no {' or '.join(kinds) or section} case of {system} in the golden folder (see SOUNDPOST_GOLDEN)"
    return [pytest.param(None, None, id=f"{system}/none", marks=[REQUIRES_SHARED, pytest.mark.skip(reason=reason)])]


REQUIRES_SHARED = pytest.mark.requires_shared


@functools.lru_cache(maxsize=16)
def _arrays(path: Path) -> Mapping[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


# ---------------------------------------------------------------- clips
def clip_path(name: str) -> Path:
    """Where a clip lies, looked up by base name, with or without its suffix; the test is failed if nowhere."""
    folders = os.environ.get("SOUNDPOST_CLIPS") or str(SHARED / "data" / "esc10" / "clips")
    for folder in folders.split(os.pathsep):
        for file in (Path(folder) / Path(name).name, Path(folder) / f"{Path(name).name}.ogg"):
            if file.is_file():
                return file
    return pytest.fail(f"clip {name} is in none of {folders}; set SOUNDPOST_CLIPS to the folders that hold it")


@functools.lru_cache(maxsize=32)
def clip_waveform(name: str) -> np.ndarray:
    """The mono float32 samples of a clip at its own rate, straight from the decoder."""
    samples, _ = soundfile.read(clip_path(name), dtype="float32", always_2d=True)
    return samples.mean(axis=1)


# ---------------------------------------------------------------- weights and inputs made from names
def value(key: str, shape: tuple[int, ...], salt: str = "") -> np.ndarray:
    """The weights that every golden set gives the state-dict entry of that name."""
    random = np.random.RandomState(zlib.crc32((salt + key).encode()))
    leaf = key.split(".")[-1]
    if leaf == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    if leaf == "running_var":
        return random.uniform(0.5, 1.5, shape).astype(np.float32)
    numbers = random.standard_normal(shape)
    if leaf == "running_mean" or (len(shape) < 2 and leaf != "weight"):
        return (0.1 * numbers).astype(np.float32)
    if len(shape) < 2:
        return (1.0 + 0.1 * numbers).astype(np.float32)
    return (numbers / np.sqrt(int(np.prod(shape[1:])))).astype(np.float32)


def fill(network: torch.nn.Module, salt: str = "", gain: Mapping[str, float] | None = None) -> torch.nn.Module:
    """The network in evaluation mode with every entry set by value(), some multiplied by a gain."""
    state = {}
    for key, tensor in network.state_dict().items():
        numbers = value(key, tuple(tensor.shape), salt) * np.float32((gain or {}).get(key, 1.0))
        state[key] = torch.from_numpy(np.asarray(numbers)).to(tensor.dtype)
    network.load_state_dict(state)
    return network.eval()


def argus_input(rule: str, name: str, shape: tuple[int, ...] | int, salt: str = "", **options: float) -> np.ndarray:
    """An input of the argus sets from its name: rules image, probs, normal, binary, burst."""
    random = np.random.RandomState(zlib.crc32((salt + "input:" + name).encode()))
    if rule == "burst":
        waveform, start, stop = np.zeros(shape, np.float32), int(options["start"]), int(options["stop"])
        if stop > start:
            waveform[start:stop] = (options["amp"] * random.standard_normal(stop - start)).astype(np.float32)
        return waveform
    if rule == "probs":
        return (random.uniform(0.0, 1.0, shape) ** 2).astype(np.float32)
    if rule == "binary":
        return (random.uniform(0.0, 1.0, shape) < options["p"]).astype(np.float32)
    numbers = random.standard_normal(shape)
    if rule == "image":
        n, c, h, w = shape
        numbers = 0.5 * numbers
        for profile in ((n, c, h, 1), (n, c, 1, w), (n, c, 1, 1)):
            numbers = numbers + random.standard_normal(profile)
    elif rule != "normal":
        raise ValueError(f"input rule '{rule}' is not known. Add it to tests/golden/cases.py.")
    return numbers.astype(np.float32)


def chirp(name: str, sample_rate: int = 44100) -> np.ndarray:
    """The synthetic waveform "synth-<samples>-<seed>" of the filipmu and simongrest sets."""
    samples, seed = (int(part) for part in name.split("-")[1:3])
    t = np.arange(samples) / sample_rate
    tone = 0.4 * np.sin(2 * np.pi * (300 * t + 900 * t**2)) * (1 + np.cos(2 * np.pi * 1.5 * t)) / 2
    return (tone + 0.02 * np.random.RandomState(seed).standard_normal(samples)).astype(np.float32)


def decaying_noise(seed: int, samples: int) -> np.ndarray:
    """The waveform wave(seed, n) of the ex4sperans and qrfaction sets: noise that dies away, with a hole in it."""
    noise = 0.3 * np.random.RandomState(seed).standard_normal(samples) * np.exp(-4 * np.linspace(0, 1, samples))
    noise[2 * samples // 3 : 3 * samples // 4] = 0
    return noise.astype(np.float32)


# ---------------------------------------------------------------- comparing
def part(array: np.ndarray, text: str) -> np.ndarray:
    """The part of an array that a slice written out as "[::4, :, -3:]" names; "all" is everything."""
    if text == "all":
        return array
    if not SLICE.match(text):
        raise ValueError(f"'{text}' is no slice. Add its rule where the case is tested.")
    axes = []
    for axis in text.strip("[]").split(","):
        if axis.strip() == "...":
            axes.append(Ellipsis)
            continue
        numbers = [int(n) if n.strip() else None for n in axis.split(":")]
        axes.append(slice(*numbers) if len(numbers) > 1 else numbers[0])
    return array[tuple(axes)]


def assert_close(expected: Any, actual: Any, atol: float, what: str) -> None:
    """The shapes agree, and nowhere do the values differ by more than atol."""
    expected, actual = np.asarray(expected), np.asarray(actual)
    assert expected.shape == actual.shape, f"{what}: expected shape {expected.shape}, got {actual.shape}"
    worst = float(np.abs(expected.astype(np.float64) - actual.astype(np.float64)).max(initial=0.0))
    assert worst <= atol, f"{what}: differs by {worst:.3g}, allowed {atol:g}"


def assert_stats(expected: Mapping[str, Any], actual: np.ndarray, scale: float, what: str, rtol: float = 1e-3) -> None:
    """Shape, mean, std, min, max, l2 and projection of a whole array agree.

    Args:
        expected: "stats" of the filipmu, simongrest and hires_spectrogram sets.
        actual: the whole array.
        scale: absolute tolerance of single values; sums may differ by rtol of the array's norm.
        what: for the message.
        rtol: relative tolerance of l2 and projection.
    """
    assert tuple(expected["shape"]) == actual.shape, f"{what}: expected {expected['shape']}, got {actual.shape}"
    x = actual.astype(np.float64).ravel()
    weights = np.random.RandomState(20190630).standard_normal(x.size)
    norm = np.sqrt((x * x).sum())
    got = {"mean": x.mean(), "std": x.std(), "min": x.min(), "max": x.max()}
    for key, number in got.items():
        assert abs(expected[key] - number) <= scale, f"{what}: {key} expected {expected[key]}, got {number}"
    allowed = rtol * norm + scale
    assert abs(expected["l2"] - norm) <= allowed, f"{what}: l2 expected {expected['l2']}, got {norm}"
    projection = (x * weights).sum() / np.sqrt(x.size)
    assert abs(expected["proj"] - projection) <= allowed, f"{what}: proj expected {expected['proj']}, got {projection}"
