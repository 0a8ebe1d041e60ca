"""What a process does that only fills a slot; by itself, so that a spawned one imports little."""

import numpy as np

from soundpost.spectrograms.cache import slots
from soundpost.spectrograms.cache.memory_tier import SharedPages


def fill(pages: SharedPages, slot: slots.Slot, array: np.ndarray) -> None:
    """Write an array into its slot of shared pages."""
    slots.write(slot, array, pages.map)
