"""Weights of suicao/Pytorch-Audio-Emotion-Recognition, and of the seventh place of Freesound 2019 with its network."""

from pathlib import Path

from soundpost.ensemble.recipes import Recipe
from soundpost.importers.state_dicts import Published, import_state_dicts

ERC2019 = (
    Published("erc2019_m0", "conv.0.conv1.0.weight"),
    Published("erc2019_dcase", "conv1.scse.satt.squeeze.weight"),
    Published("erc2019_m3", "conv5.conv1.0.weight"),
    Published("erc2019_m2", "conv4.conv1.0.weight"),
)
SEVENTH = (
    Published("seventh_custom", "conv1.scse.satt.squeeze.weight"),
    Published("seventh_inception", "Mixed_7c.branch1x1.conv.weight", ignored="AuxLogits."),
)
SEVENTH_ONE_CHANNEL = (
    Published(
        "seventh_inception",
        "Mixed_7c.branch1x1.conv.weight",
        changed={"model": {"channels": 1}},
        ignored="AuxLogits.",
    ),
)


def import_erc2019(source: Path, folder: Path, name: str, labels: tuple[str, ...]) -> Recipe:
    """m0, m2, m3 or dcase as a recipe; see import_state_dicts."""
    return import_state_dicts(source, folder, name, labels, ERC2019)


def import_seventh(source: Path, folder: Path, name: str, labels: tuple[str, ...]) -> Recipe:
    """The seventh place's custom CNN, or its Inception v3 over three planes, as a recipe; see import_state_dicts."""
    return import_state_dicts(source, folder, name, labels, SEVENTH)


def import_seventh_one_channel(source: Path, folder: Path, name: str, labels: tuple[str, ...]) -> Recipe:
    """The seventh place's Inception v3 over one plane as a recipe; see import_state_dicts."""
    return import_state_dicts(source, folder, name, labels, SEVENTH_ONE_CHANNEL)
