"""Weights of residual networks as fastai or torchvision names them: filipmu's, and those of high-res spectrograms."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from soundpost.ensemble.recipes import Recipe
from soundpost.importers.state_dicts import Published, import_state_dicts
from soundpost.models.resnet import TORCHVISION

LAYERS = {"resnet34": (3, 4, 6, 3), "resnet18": (2, 2, 2, 2)}  # the deeper first: its names hold all of the other's
TELLING = {"resnet34": "6.5.conv1.weight", "resnet18": "4.0.conv1.weight"}
COLOUR = {"n_mels": 672, "colours": 3}

PICTURES: dict[str, Mapping[str, Any]] = {  # published front ends of high resolution spectrograms
    **{
        f"{axis}_{loudness}": {"name": "axis_picture", "axis": axis, "loudness": loudness}
        for axis in ("linear", "log", "mel")
        for loudness in ("linear", "db")
    },
    **{f"q{q}": {"name": "reassigned_picture", "q": float(q)} for q in (1, 2, 4, 8)},
    "linear_mel_log": {"name": "picture_stack", "pictures": ["log_db", "mel_db", "linear_db"]},
    "q148": {"name": "picture_stack", "pictures": ["q1", "q4", "q8"]},
    "mix": {"name": "picture_stack", "pictures": ["q1", "q8", "log_db"]},
}


def filipmu(name: str, front_end: Mapping[str, Any]) -> tuple[Published, Published]:
    """One of his networks, named as fastai and as torchvision name it."""
    changed = {"front_end": front_end, "model": {"layers": list(LAYERS[name])}}
    linear = {**changed, "model": {**changed["model"], "head": "linear"}}
    stage, rest = TELLING[name].split(".", 1)
    return (
        Published("filipmu", f"0.{stage}.{rest}", changed=changed),
        Published("filipmu", f"layer{int(stage) - 3}.{rest}", TORCHVISION, linear),
    )


def import_filipmu(source: Path, folder: Path, name: str, labels: tuple[str, ...]) -> Recipe:
    """ResNet-18 or 34 over grey pictures as a recipe; see import_state_dicts."""
    return import_state_dicts(source, folder, name, labels, _both({}))


def import_filipmu_colour(source: Path, folder: Path, name: str, labels: tuple[str, ...]) -> Recipe:
    """ResNet-18 or 34 over three-colour pictures as a recipe; see import_state_dicts."""
    return import_state_dicts(source, folder, name, labels, _both(COLOUR))


def import_hires(picture: str, source: Path, folder: Path, name: str, labels: tuple[str, ...]) -> Recipe:
    """ResNeXt-50 over one of PICTURES as a recipe; see import_state_dicts."""
    front_end = {"front_end": PICTURES[picture]}
    linear = {**front_end, "model": {"head": "linear"}}
    known = (
        Published("hires_spectrogram", "0.4.0.conv3.weight", changed=front_end),
        Published("hires_spectrogram", "layer1.0.conv3.weight", TORCHVISION, linear),
    )
    return import_state_dicts(source, folder, name, labels, known)


def _both(front_end: Mapping[str, Any]) -> tuple[Published, ...]:
    return tuple(network for name in LAYERS for network in filipmu(name, front_end))
