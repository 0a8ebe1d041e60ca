"""What a process that runs networks is told of its memory: by its environment, or by itself before its first network.

Without it kernels and free pages of lengths of clips that are long past pile up to hundreds of MB.
"""

import ctypes
import os
from contextlib import suppress

from soundpost.resources.memory import MIB

ENGINE_ENVIRONMENT = {
    "OMP_WAIT_POLICY": "PASSIVE",  # idle cores sleep instead of spinning
    "KMP_BLOCKTIME": "0",
    "MALLOC_ARENA_MAX": "4",
    # Maps of a network are given back and taken again at every layer: from the heap, without a page fault each time.
    "MALLOC_MMAP_THRESHOLD_": str(32 * MIB),
    "MALLOC_TRIM_THRESHOLD_": str(64 * MIB),
    # Kernels are generated for every length of clip; those of lengths long past would pile up to hundreds of MB.
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64",
    "LRU_CACHE_CAPACITY": "16",  # torch's own list of them
}
# What glibc reads at its start alone, by the numbers that its mallopt has for it.
MALLOPT = {"MALLOC_ARENA_MAX": -8, "MALLOC_MMAP_THRESHOLD_": -3, "MALLOC_TRIM_THRESHOLD_": -1}


def settle() -> None:
    """Take this process as if it had begun in ENGINE_ENVIRONMENT, as far as its own environment says nothing else."""
    for name, value in ENGINE_ENVIRONMENT.items():
        if name not in os.environ:
            os.environ[name] = value  # libraries read theirs when they are first used
            if name in MALLOPT:
                with suppress(AttributeError, OSError):  # not glibc
                    ctypes.CDLL(None).mallopt(MALLOPT[name], int(value))
