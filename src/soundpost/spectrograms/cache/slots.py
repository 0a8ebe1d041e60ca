"""A slot: reserved room for one array, small enough to travel through a pipe; arrays never do."""

import mmap
import os
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Slot:
    """Room for one array, reserved before a byte of it exists."""

    tier: str  # "memory" or "disk"
    dtype: str  # as the array is stored
    shape: Shape
    offset: int = 0  # memory: where it begins
    path: str = ""  # disk: the file
    room_bytes: int = 0  # what was reserved, whole pages or blocks

    @property
    def n_bytes(self) -> int:
        """Bytes of the array itself."""
        return int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize


def write(slot: Slot, array: np.ndarray, memory: mmap.mmap | None) -> int:
    """Put an array into its slot, in place; a file is written aside and renamed.

    Args:
        slot: reserved for exactly this shape.
        array: (channels, bins, frames), any float type; stored as slot.dtype.
        memory: the mapped memory tier; only needed for its slots.

    Returns:
        The checksum to verify the array by when it is read.

    Raises:
        OSError: the disk is full; nothing remains of the file.
    """
    if slot.tier == "memory":
        target = np.ndarray(slot.shape, slot.dtype, buffer=memory, offset=slot.offset)
        target[...] = array
        return 0
    data = np.ascontiguousarray(array, slot.dtype).data.cast("B") if array.size else b""
    aside = Path(slot.path + ".part")
    try:
        with aside.open("wb", buffering=0) as file:
            os.posix_fallocate(file.fileno(), 0, max(1, len(data)))
            view = memoryview(data)
            while len(view):
                view = view[file.write(view) :]
        aside.replace(slot.path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise
    return zlib.crc32(data)


def read(slot: Slot, checksum: int, memory: mmap.mmap | None) -> np.ndarray | None:
    """The array of a slot; None when its file has vanished, has another length or fails its checksum.

    A memory slot gives a view into the shared pages: read it before the slot is freed.
    """
    if slot.tier == "memory":
        return np.ndarray(slot.shape, slot.dtype, buffer=memory, offset=slot.offset)
    try:
        data = np.fromfile(slot.path, np.uint8)
    except OSError:
        return None
    if len(data) != max(1, slot.n_bytes) or zlib.crc32(data[: slot.n_bytes].data) != checksum:
        return None
    return data[: slot.n_bytes].view(slot.dtype).reshape(slot.shape)
