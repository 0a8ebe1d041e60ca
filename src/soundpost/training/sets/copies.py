"""Copies of every clip that sound otherwise, as the seventh place made them with SoX before training."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

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
    """Which, and of what."""

    of: str = "curated"  # name of another set; a copy belongs to its clip's fold
    names: tuple[str, ...] = tuple(COPIES)


class Copies:
    """A clip's copies, one for each name; they follow their clip's fold and are never validated on.

    Source: systems specification of the seventh place.
    """

    Settings: ClassVar[type] = CopiesSettings

    def __init__(self, settings: CopiesSettings) -> None:
        if unknown := sorted(set(settings.names) - set(COPIES)):
            raise SettingsError(f"copies: {', '.join(unknown)}; known: {', '.join(COPIES)}. Correct the names.")
        self.settings = settings

    def of(self, waveform: Tensor, rate: int) -> list[Tensor]:
        """Copies of a waveform (samples,), each (samples,)."""
        return [COPIES[name](waveform[None], rate)[0] for name in self.settings.names]
