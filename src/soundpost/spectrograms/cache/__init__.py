"""Spectrograms, each computed once: a memory tier shared by processes, then a disk tier, then recompute."""

from soundpost.spectrograms.cache.slots import Slot
from soundpost.spectrograms.cache.spectrogram_cache import Key, SpectrogramCache

__all__ = ["Key", "Slot", "SpectrogramCache"]
