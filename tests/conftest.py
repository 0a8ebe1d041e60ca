"""Fixtures and markers that several test files share."""

import csv
import hashlib
import os
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
import soundfile
import tomli_w
import torch
import torchvision_beside_cpu_torch  # noqa: F401 - so that timm can be imported
from safetensors.numpy import save_file

from soundpost.models.compact import Compact, CompactSettings
from soundpost.settings import RunSettings

LABELS = ("Bark", "Rain", "Siren", "Tick-tock")
RATE = 16_000  # Hz
CLIP_SECONDS = (0.3, 1.1, 0.5, 2.0, 0.3, 0.7, 1.6, 0.5, 0.9, 0.4, 3.0, 0.6)

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "RAY_USAGE_STATS_ENABLED": "0"}  # ask nobody
torch.set_num_threads(1)  # networks of tests are small; on a busy machine more threads wait for each other

# The rest of a makes one more row of 5 s; those of b and c are too short for one.
RECORDING_SECONDS = {"a": 12.0, "b": 5.001, "c": 20.3}

RecipeMaker = Callable[..., Path]
ClipMaker = Callable[..., Path]
RecordingMaker = Callable[..., Path]
SettingsMaker = Callable[..., RunSettings]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what this machine cannot run, with the reason."""
    for item in items:
        if item.get_closest_marker("requires_cuda") and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="no CUDA device here"))


def compact_arrays(seed: int, n_classes: int = len(LABELS)) -> dict[str, np.ndarray]:
    """Random weights of a compact network with small widths, its statistics as if it had been trained."""
    torch.manual_seed(seed)
    model = Compact(CompactSettings(bins=16, widths=(4, 6), strides=(2, 2)), n_classes)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    with torch.no_grad():
        for name in ("overall.weight", "presence.weight"):
            model.get_parameter(name).mul_(8)  # so that clips get answers that differ
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


@pytest.fixture
def make_assets(tmp_path: Path) -> RecipeMaker:
    """Makes weights/ with small recipes; what is not said about a recipe is the compact network of three folds."""

    def make(*recipes: dict[str, object], blend: str = "mean", folder: str = "weights") -> Path:
        root = tmp_path / folder
        names = []
        for number, given in enumerate(recipes or ({},)):
            table = {
                "format": 1,
                "name": f"tiny{number}",
                "labels": list(LABELS),
                "priors": [0.1, 0.2, 0.3, 0.4],
                "audio": {"sample_rate": RATE},
                "front_end": {"name": "log_mel", "sample_rate": RATE, "n_fft": 512, "hop_length": 256, "n_mels": 16},
                "model": {"name": "compact", "bins": 16, "widths": [4, 6], "strides": [2, 2]},
                "views": [{"name": "whole"}],
                **given,
            }
            folds = table.pop("folds", 3)
            (root / table["name"]).mkdir(parents=True)
            table["members"] = []
            for fold in range(1, folds + 1):
                path = root / table["name"] / f"fold{fold}.safetensors"
                save_file(compact_arrays(crc32(table["name"].encode()) % 1000 + fold, len(table["labels"])), path)
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                score = {"lwlrap": 0.9 - 0.01 * fold}
                table["members"].append({"fold": str(fold), "file": path.name, "sha256": digest, "scores": score})
            (root / table["name"] / "recipe.toml").write_text(tomli_w.dumps(table))
            names.append(table["name"])
        submission = {"format": 1, "blend": blend, "recipes": names}
        (root / "submission.toml").write_text(tomli_w.dumps(submission))
        return root

    return make


def waveform(seconds: float, seed: int) -> np.ndarray:
    """A tone in noise, (samples,) float32; another seed gives another pitch."""
    time = np.arange(round(seconds * RATE)) / RATE
    noise = np.random.default_rng(seed).normal(0, 0.05, len(time))
    return (0.3 * np.sin(2 * np.pi * (200 + 150 * seed) * time) + noise).astype(np.float32)


def write_sample(path: Path, names: Sequence[str], columns: Sequence[str] = LABELS) -> Path:
    """A sample_submission.csv of zeros."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["fname", *columns])
        writer.writerows([name, *[0] * len(columns)] for name in names)
    return path


@pytest.fixture
def make_clips(tmp_path: Path) -> ClipMaker:
    """Makes test/ with a wav for each length and sample_submission.csv beside it; returns the folder of both."""

    def make(seconds: Sequence[float] = CLIP_SECONDS, columns: Sequence[str] = LABELS, folder: str = "contest") -> Path:
        root = tmp_path / folder
        (root / "test").mkdir(parents=True)
        names = [f"clip{number:03}.wav" for number in range(len(seconds))]
        for number, (name, length) in enumerate(zip(names, seconds, strict=True)):
            soundfile.write(root / "test" / name, waveform(length, number), RATE)
        write_sample(root / "sample_submission.csv", names, columns)
        return root

    return make


@pytest.fixture
def make_recordings(tmp_path: Path) -> RecordingMaker:
    """Makes test/ with recordings and a stub sample of one that is not there; returns the folder of both."""

    def make(
        seconds: dict[str, float] | None = None, sample: Sequence[str] = ("stub_5", "stub_10"), folder: str = "contest"
    ) -> Path:
        root = tmp_path / folder
        (root / "test").mkdir(parents=True)
        for number, (name, length) in enumerate((RECORDING_SECONDS if seconds is None else seconds).items()):
            parts = [waveform(1.0, 3 * number + i) * (1 + i % 3) / 3 for i in range(int(np.ceil(length)))]
            soundfile.write(root / "test" / f"{name}.wav", np.concatenate(parts)[: round(length * RATE)], RATE)
        with (root / "sample_submission.csv").open("w", newline="") as file:
            csv.writer(file).writerows([["row_id", *LABELS], *([row_id, 0, 0, 0, 0] for row_id in sample)])
        return root

    return make


@pytest.fixture
def make_settings(tmp_path: Path) -> SettingsMaker:
    """Makes the settings of a run in this process over a folder that make_clips made; each has its own scratch.

    In float32, as some machines would choose bfloat16 by the clock and answer a little differently.
    """
    numbers = count()
    usual = {"time_limit_seconds": 300.0, "progress": "quiet", "workers": 2, "device": "cpu", "precision": "float32"}

    def make(assets: Path, contest: Path, **others: object) -> RunSettings:
        scratch = tmp_path / str(others.pop("scratch", f"scratch{next(numbers)}"))
        scratch.mkdir(exist_ok=True)
        return RunSettings(
            assets=str(assets),
            test_dir=str(contest / "test"),
            sample_submission=str(contest / "sample_submission.csv"),
            out=str(tmp_path / str(others.pop("out", "submission.csv"))),
            scratch=str(scratch),
            **(usual | others),
        )

    return make


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    """A checkout with the real loader and readers, stand-ins for the rest, and one recipe of two members."""
    from stand_in import make_kit  # beside the tests of the kernel, which alone ask for this

    return make_kit(tmp_path / "kit")


requires_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
