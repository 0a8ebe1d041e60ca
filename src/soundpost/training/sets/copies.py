"""Copies of every clip that sound otherwise, as the seventh place made them with SoX before training."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from soundpost.errors import SettingsError
from soundpost.training.effects.pitch import pitch
from soundpost.training.effects.reverb import Reverb, reverb
from soundpost.training.effects.tone import bell, faded_in, shelf, toned

FADE_SECONDS = 3.0


def _reverberated(waveform: Tensor, rate: int) -> Tensor:
    """Two channels inside; what is kept is their mean."""
    return reverb(waveform, Reverb(), rate).mean(0, keepdim=True)


# Waveforms (1, samples) and Hz; SoX makes room for what a filter may add, and never makes that good.
COPIES: dict[str, Callable[[Tensor, int], Tensor]] = {
    "pitch_down": lambda waveform, rate: pitch(waveform, -500, rate),
    "pitch_up": lambda waveform, rate: pitch(waveform, 500, rate),
    "reverb": _reverberated,
    "treble_and_bass_up": lambda waveform, rate: toned(waveform, [shelf(20, rate, True), shelf(20, rate, False)], 40),
    "treble_and_bass_down": lambda waveform, rate: toned(waveform, [shelf(-30, rate, True), shelf(-30, rate, False)]),
    "equaliser": lambda waveform, rate: toned(waveform, [bell(2400, 3, 8, rate)], 8),
    "fade": lambda waveform, rate: faded_in(waveform, FADE_SECONDS, rate),
}


@dataclass(frozen=True)
class CopiesSettings:
    """Which of them."""

    names: tuple[str, ...] = tuple(COPIES)


class Copies:
    """Every clip, and one copy of it for each name; a copy has its clip's fold and is never validated on.

    Source: systems specification of the seventh place. No golden case beyond those of the effects themselves.
    """

    Settings: ClassVar[type] = CopiesSettings

    def __init__(self, settings: CopiesSettings) -> None:
        if unknown := sorted(set(settings.names) - set(COPIES)):
            raise SettingsError(f"copies: {', '.join(unknown)}; known: {', '.join(COPIES)}. Correct the names.")
        self.settings = settings

    def __call__(self, table: pd.DataFrame, folder: Path) -> pd.DataFrame:
        """The table and, below it, its rows again with the name of a copy in the column copy."""
        return pd.concat([table, *(table.assign(copy=name) for name in self.settings.names)], ignore_index=True)


def copied(waveform: np.ndarray, name: str, rate: int) -> np.ndarray:
    """A copy of a waveform (samples,); without a name the waveform itself."""
    return COPIES[name](torch.from_numpy(waveform)[None], rate)[0].numpy() if name else waveform
