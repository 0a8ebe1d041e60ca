"""The memory tier: one file of shared pages that every process maps, handed out in extents by one owner.

Three kinds of backing are tried in turn. memfd has no name, is bounded by no mount and goes with the last process that
holds it; a file in /dev/shm comes next; last a file in the scratch folder, mapped. Each extent is reserved with
posix_fallocate, because ftruncate promises room on a full tmpfs and the first write then dies of SIGBUS.
"""

import mmap
import os
import tempfile
from collections.abc import Callable
from itertools import pairwise
from multiprocessing import reduction
from pathlib import Path
from typing import Any

PAGE = mmap.PAGESIZE


def _memfd(_: Path) -> int:
    return os.memfd_create("soundpost-cache", os.MFD_CLOEXEC)


def _shm(_: Path) -> int:
    return _nameless(Path("/dev/shm"))


def _scratch(scratch: Path) -> int:
    return _nameless(scratch)


def _nameless(folder: Path) -> int:
    """A file without a name as soon as it is open, so that no death of any process leaves it behind."""
    descriptor, name = tempfile.mkstemp(prefix="soundpost-", dir=folder)
    Path(name).unlink()
    return descriptor


BACKINGS: dict[str, Callable[[Path], int]] = {"memfd": _memfd, "shm": _shm, "scratch": _scratch}


class SharedPages:
    """The mapped file; pickles to another process as its descriptor alone."""

    def __init__(self, descriptor: int, size: int) -> None:
        self.descriptor = descriptor
        self.size = size
        self.map = mmap.mmap(descriptor, size)

    def __reduce__(self) -> tuple[Any, ...]:
        return _attach, (reduction.DupFd(self.descriptor), self.size)

    def close(self) -> None:
        """Give the descriptor back; pages go when no array looks into them any more."""
        os.close(self.descriptor)


def _attach(duplicate: Any, size: int) -> SharedPages:
    return SharedPages(duplicate.detach(), size)


class MemoryTier:
    """At most limit_bytes of shared pages at every moment; extents are whole pages.

    Args:
        limit_bytes: bound of all extents together; 0 gives a tier without room.
        scratch: folder for the last of the backings.
        backings: names of BACKINGS in the order to try.
    """

    def __init__(self, limit_bytes: int, scratch: Path, backings: tuple[str, ...] = tuple(BACKINGS)) -> None:
        self.limit_bytes = limit_bytes // PAGE * PAGE
        self.used_bytes = 0
        self.backing = "none"
        self.pages: SharedPages | None = None
        self._end = 0  # no extent has ever ended beyond it
        self._free: dict[int, int] = {}  # offset -> bytes, no two adjacent
        if self.limit_bytes:
            self._open(scratch, backings)

    def _open(self, scratch: Path, backings: tuple[str, ...]) -> None:
        for name in backings:
            try:
                descriptor = BACKINGS[name](scratch)
            except (OSError, AttributeError):
                continue
            try:
                os.posix_fallocate(descriptor, 0, PAGE)
                os.ftruncate(descriptor, self.limit_bytes)
                self.pages = SharedPages(descriptor, self.limit_bytes)
                self.backing = name
                return
            except OSError:
                os.close(descriptor)
        self.limit_bytes = 0

    def reserve(self, n_bytes: int) -> tuple[int, int] | None:
        """(offset, room in bytes) of a new extent, its pages really there; None when there is no room."""
        room = max(PAGE, -(-n_bytes // PAGE) * PAGE)
        if self.pages is None or self.used_bytes + room > self.limit_bytes:
            return None
        for offset, length in self._free.items():
            if length >= room:
                del self._free[offset]
                if length > room:
                    self._free[offset + room] = length - room
                self.used_bytes += room
                return offset, room
        if self._end + room > self.limit_bytes:
            return None
        try:
            os.posix_fallocate(self.pages.descriptor, self._end, room)
        except OSError:
            self.limit_bytes = self._end  # the backing is full: what it gave so far is all there is
            return None
        offset = self._end
        self._end += room
        self.used_bytes += room
        return offset, room

    def free(self, offset: int, room: int) -> None:
        """Take an extent back and join it with its free neighbours."""
        self.used_bytes -= room
        for start, length in list(self._free.items()):
            if start + length == offset:
                del self._free[start]
                offset, room = start, room + length
            elif offset + room == start:
                del self._free[start]
                room += length
        if offset + room == self._end:
            self._end = offset
        else:
            self._free[offset] = room

    def check(self, extents: list[tuple[int, int]]) -> list[str]:
        """Every disagreement between the extents that the index holds and the tier's own books."""
        found = []
        if sum(room for _, room in extents) != self.used_bytes:
            found.append(f"memory: index holds {sum(r for _, r in extents)} bytes, the tier counts {self.used_bytes}")
        if self.used_bytes > self.limit_bytes:
            found.append(f"memory: {self.used_bytes} bytes used, limit {self.limit_bytes}")
        spans = sorted([*extents, *self._free.items()])
        for (offset, room), (following, _) in pairwise(spans):
            if offset + room > following:
                found.append(f"memory: extents at {offset} and {following} overlap")
        if spans and sum(spans[-1]) > self._end:
            found.append(f"memory: an extent ends at {sum(spans[-1])}, beyond {self._end}")
        return found

    def close(self) -> None:
        """Give the backing file back."""
        if self.pages is not None:
            self.pages.close()
            self.pages = None
