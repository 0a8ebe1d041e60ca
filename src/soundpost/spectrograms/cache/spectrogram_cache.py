"""Which spectrogram lies where, and what happens when there is no room: memory, then disk, then recompute.

One process owns the index; workers only receive slots and fill them in place. So no lock is shared, and a worker
that is killed in the middle costs the slot it held, nothing else. A kept entry stays until its front end is no
longer needed: passes read all clips again and again in the same order, where evicting the oldest entry would make
every read a miss. Entries that found no room are transient: computed into a small staging share of the memory tier,
used, and freed.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from soundpost.errors import CacheError
from soundpost.resources.memory_budget import PRESSURE_SHARE
from soundpost.spectrograms.cache import slots
from soundpost.spectrograms.cache.disk_tier import DiskTier
from soundpost.spectrograms.cache.memory_tier import BACKINGS, PAGE, MemoryTier, SharedPages
from soundpost.spectrograms.cache.slots import Shape, Slot


@dataclass(frozen=True, slots=True)
class Key:
    """A clip under one front end."""

    digest: str  # names the front end, its settings and the audio settings
    clip: int


@dataclass(slots=True)
class _Entry:
    slot: Slot
    keep: bool
    committed: bool = False
    checksum: int = 0


class SpectrogramCache:
    """Arrays by key, in at most memory_limit_bytes of shared memory and disk_limit_bytes of files.

    Args:
        memory_limit_bytes: bound of the memory tier, staging included, over all processes together.
        disk_limit_bytes: bound of the disk tier.
        scratch: private folder of this run; the tier's files go into its folder "spill".
        dtype: in which arrays are stored, "float32" or "float16".
        staging_bytes: share of the memory tier that only transient entries may use.
        pressure: used share of the machine's memory, 0 to 1; from PRESSURE_SHARE on kept entries go to disk.
        backings: what the memory tier may rest on, see memory_tier.BACKINGS.
    """

    def __init__(
        self,
        memory_limit_bytes: int,
        disk_limit_bytes: int,
        scratch: Path,
        dtype: str = "float32",
        staging_bytes: int = 0,
        pressure: Callable[[], float] = lambda: 0.0,
        backings: tuple[str, ...] = tuple(BACKINGS),
    ) -> None:
        self.dtype = dtype
        self.staging_bytes = min(staging_bytes, memory_limit_bytes)
        self.counts: Counter[str] = Counter()
        self._memory = MemoryTier(memory_limit_bytes, scratch, backings)
        self._disk = DiskTier(disk_limit_bytes, scratch / "spill")
        self._pressure = pressure
        self._entries: dict[Key, _Entry] = {}
        self._transient_bytes = 0

    @property
    def pages(self) -> SharedPages | None:
        """What workers map to fill memory slots."""
        return self._memory.pages

    @property
    def backing(self) -> str:
        """Name of what the memory tier rests on."""
        return self._memory.backing

    @property
    def memory_bytes(self) -> int:
        """Bytes of shared memory in use."""
        return self._memory.used_bytes

    @property
    def transient_bytes(self) -> int:
        """Bytes of shared memory that go as soon as they are used."""
        return self._transient_bytes

    @property
    def disk_bytes(self) -> int:
        """Bytes of files in use, in whole blocks."""
        return self._disk.used_bytes

    def __contains__(self, key: Key) -> bool:
        entry = self._entries.get(key)
        return entry is not None and entry.committed

    def __iter__(self) -> Iterator[Key]:
        return iter(list(self._entries))

    def shape(self, key: Key) -> Shape:
        """(channels, bins, frames) of a stored array."""
        return self._entries[key].slot.shape

    def reserve(self, key: Key, shape: Shape, keep: bool = True) -> Slot | None:
        """Room for one array before it exists; None when even the staging share is full at the moment.

        Args:
            key: not in the cache.
            shape: (channels, bins, frames).
            keep: whether a later pass will ask for it again; False makes it transient.

        Raises:
            CacheError: the key already has a slot.
        """
        if key in self._entries:
            raise CacheError(f"clip {key.clip} under {key.digest} has a slot already. Abandon or drop it first.")
        entry = (self._keep(key, shape) if keep else None) or self._stage(shape)
        if entry is None:
            return None
        self._entries[key] = entry
        self.counts[entry.slot.tier if entry.keep else "not kept"] += keep
        return entry.slot

    def _keep(self, key: Key, shape: Shape) -> _Entry | None:
        empty = Slot("memory", self.dtype, shape)
        room_left = self._memory.limit_bytes - self.staging_bytes - (self._memory.used_bytes - self._transient_bytes)
        if empty.n_bytes <= room_left:
            if self._pressure() < PRESSURE_SHARE:
                extent = self._memory.reserve(empty.n_bytes)
                if extent is not None:
                    return _Entry(Slot("memory", self.dtype, shape, offset=extent[0], room_bytes=extent[1]), keep=True)
            else:
                self.counts["pressure"] += 1
        file = self._disk.reserve(empty.n_bytes, f"{key.digest}-{key.clip}.spectrogram")
        if file is not None:
            return _Entry(Slot("disk", self.dtype, shape, path=file[0], room_bytes=file[1]), keep=True)
        return None

    def _stage(self, shape: Shape) -> _Entry | None:
        extent = self._memory.reserve(Slot("memory", self.dtype, shape).n_bytes)
        if extent is None:
            return None
        self._transient_bytes += extent[1]
        return _Entry(Slot("memory", self.dtype, shape, offset=extent[0], room_bytes=extent[1]), keep=False)

    def commit(self, key: Key, checksum: int) -> None:
        """The array is in its slot; from now on it can be read."""
        entry = self._entries[key]
        entry.committed, entry.checksum = True, checksum

    def abandon(self, key: Key, disk_is_full: bool = False) -> None:
        """The array will not come: its worker died, or the disk had no room. The slot is free again."""
        entry = self._entries.get(key)
        if entry is None:
            return
        self._forget(key)
        self.counts["abandoned"] += 1
        if disk_is_full:
            self.counts["disk full"] += 1
            self._disk.shrink()

    def lower_limit(self, memory_limit_bytes: int, staging_bytes: int) -> None:
        """Bound the memory tier more tightly than it was made; to be called while it is empty."""
        self._memory.limit_bytes = min(self._memory.limit_bytes, memory_limit_bytes // PAGE * PAGE)
        self.staging_bytes = min(staging_bytes, self._memory.limit_bytes)

    def freeze(self) -> None:
        """Memory is short: the memory tier grows no further than it is now, beside its staging share."""
        self._memory.limit_bytes = min(self._memory.limit_bytes, self._memory.used_bytes + self.staging_bytes)

    @property
    def memory_limit_bytes(self) -> int:
        """Bound of the memory tier as it is now."""
        return self._memory.limit_bytes

    @property
    def disk_limit_bytes(self) -> int:
        """Bound of the disk tier as it is now."""
        return self._disk.limit_bytes

    def find(self, key: Key) -> tuple[Slot, int] | None:
        """Slot and checksum of a stored array, for slots.read in any thread; None for a miss."""
        entry = self._entries.get(key)
        return (entry.slot, entry.checksum) if entry is not None and entry.committed else None

    def read(self, key: Key) -> np.ndarray | None:
        """A stored array, (channels, bins, frames); None for a miss. What is damaged or gone is dropped and counted.

        An array from memory is a view into the shared pages: valid until the key is released or dropped.
        """
        found = self.find(key)
        if found is None:
            return None
        array = slots.read(*found, self.pages.map if self.pages else None)
        if array is None:
            self.damaged(key)
        return array

    def damaged(self, key: Key) -> None:
        """What was stored cannot be read back: from now on the key is a miss, and counted."""
        if key in self._entries:
            self.counts["damaged"] += 1
            self._forget(key)

    def release(self, key: Key) -> None:
        """A transient entry has been used and goes; a kept one stays."""
        entry = self._entries.get(key)
        if entry is not None and not entry.keep:
            self._forget(key)

    def evict(self, is_wanted: Callable[[Key], bool]) -> bool:
        """Forget one kept array that lies in memory and is not wanted now; whether there was one."""
        for key, entry in self._entries.items():
            if entry.keep and entry.committed and entry.slot.tier == "memory" and not is_wanted(key):
                self.counts["evicted"] += 1
                self._forget(key)
                return True
        return False

    def drop(self, digest: str) -> None:
        """No later pass needs this front end: all its entries go."""
        for key in self:
            if key.digest == digest:
                self._forget(key)

    def _forget(self, key: Key) -> None:
        entry = self._entries.pop(key)
        if entry.slot.tier == "disk":
            self._disk.free(entry.slot.path, entry.slot.room_bytes)
            return
        self._memory.free(entry.slot.offset, entry.slot.room_bytes)
        if not entry.keep:
            self._transient_bytes -= entry.slot.room_bytes

    def check(self) -> list[str]:
        """Every disagreement between index and storage; an empty list is what should be."""
        entries = self._entries.values()
        memory = [(e.slot.offset, e.slot.room_bytes) for e in entries if e.slot.tier == "memory"]
        disk = {e.slot.path: (e.slot.n_bytes, e.slot.room_bytes, e.committed) for e in entries if e.slot.tier == "disk"}
        found = self._memory.check(memory) + self._disk.check(disk)
        transient = sum(e.slot.room_bytes for e in entries if not e.keep)
        if transient != self._transient_bytes:
            found.append(f"index holds {transient} transient bytes, the cache counts {self._transient_bytes}")
        return found

    def close(self) -> None:
        """Everything goes."""
        for key in self:
            self._forget(key)
        self._memory.close()
