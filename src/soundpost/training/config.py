"""Everything that decides how a recipe's weights are made, as data: one TOML file, every table optional.

name = "compact"
[audio] [front_end] [model] [[views]]     as in recipe.toml
[compose] [fit]                           ComposeSettings, FitSettings
[aliases]                                 label -> column of the submission
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from soundpost.errors import SettingsError
from soundpost.registry import settings_from
from soundpost.training.compose import ComposeSettings


@dataclass(frozen=True)
class FitSettings:
    """How long and how fast a member learns."""

    epochs: int = 800  # passes over the training clips, each clip the first source of one composed clip
    batch: int = 64  # clips
    learning_rate: float = 3e-3  # at the end of the warm-up
    weight_decay: float = 0.05  # AdamW's, on convolutions and linear layers only
    warm_up: int = 10  # epochs
    average_decay: float = 0.998  # per step, of the moving average of the weights
    shortest: float = 0.5  # s; clips of a batch are equally long,
    longest: float = 6.0  # s; log-uniform between the two
    speeds: tuple[float, ...] = (0.84, 0.92, 1.0, 1.09, 1.19)  # at which sources are played
    half: bool = True  # convolutions in bfloat16; twice as fast on processors that have it, slower on others
    checkpoint: int = 50  # epochs between two checkpoints


@dataclass(frozen=True)
class Plan:
    """One recipe in the making."""

    name: str = "compact"
    audio: Mapping[str, Any] = field(default_factory=lambda: {"sample_rate": 44100})
    front_end: Mapping[str, Any] = field(
        default_factory=lambda: {
            "name": "log_mel",
            "sample_rate": 44100,
            "n_fft": 2048,
            "hop_length": 882,
            "n_mels": 64,
            "fmin": 40.0,
            "fmax": 18000.0,
            "top_db": 0.0,
            "pad_mode": "constant",
        }
    )
    model: Mapping[str, Any] = field(default_factory=lambda: {"name": "compact"})
    views: tuple[Mapping[str, Any], ...] = ({"name": "whole"},)
    compose: ComposeSettings = field(default_factory=ComposeSettings)
    fit: FitSettings = field(default_factory=FitSettings)
    aliases: Mapping[str, str] = field(default_factory=dict)


def read_plan(path: Path) -> Plan:
    """The plan that a TOML file describes; what it leaves out is as in Plan().

    Raises:
        SettingsError: not TOML, or a key that is not known.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: not TOML ({error}). Correct it.") from error
    for key, settings_class in (("compose", ComposeSettings), ("fit", FitSettings)):
        if key in table:
            table[key] = settings_from(settings_class, table[key], f"{path} [{key}]")
    return settings_from(Plan, table, str(path))
