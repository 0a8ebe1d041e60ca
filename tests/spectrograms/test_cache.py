"""The cache: its bounds hold at every step, its books agree with what is stored, and nothing is left behind."""

import errno
import mmap
import multiprocessing
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import requires_root
from filling import fill
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    rule,
    run_state_machine_as_test,
)

from soundpost.errors import CacheError
from soundpost.spectrograms.cache import Key, SpectrogramCache, memory_tier, slots
from soundpost.spectrograms.cache.memory_tier import BACKINGS

PAGE = mmap.PAGESIZE
SHAPE = (1, 16, 64)  # 4096 bytes in float32: one page, one block


def spectrogram(seed: int, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def store(cache: SpectrogramCache, key: Key, array: np.ndarray, keep: bool = True) -> str:
    """What a worker and the engine do together; the tier, or "none"."""
    slot = cache.reserve(key, array.shape, keep)
    if slot is None:
        return "none"
    cache.commit(key, slots.write(slot, array, cache.pages.map if cache.pages else None))
    return slot.tier


def bytes_in_memory(cache: SpectrogramCache) -> int:
    """What the operating system says of the memory tier."""
    return os.fstat(cache.pages.descriptor).st_blocks * 512 if cache.pages else 0


def bytes_on_disk(scratch: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in scratch.rglob("*") if path.is_file())


class AnyOrder(RuleBasedStateMachine):
    """Workers that come and go, in any order, over a cache of ten pages of memory and six blocks of disk."""

    MEMORY, DISK, STAGING = 10 * PAGE, 6 * 4096, 3 * PAGE

    reserved = Bundle("reserved")
    stored = Bundle("stored")

    def __init__(self) -> None:
        super().__init__()
        self.scratch = Path(tempfile.mkdtemp())
        self.pressure = 0.0
        self.cache = SpectrogramCache(
            self.MEMORY, self.DISK, self.scratch, staging_bytes=self.STAGING, pressure=lambda: self.pressure
        )
        self.number = 0
        self.known: dict[Key, np.ndarray] = {}

    @rule(target=reserved, frames=st.integers(0, 250), keep=st.booleans(), digest=st.sampled_from("ab"))
    def reserve(self, frames: int, keep: bool, digest: str) -> tuple[Key, slots.Slot | None]:
        self.number += 1
        key = Key(digest, self.number)
        return key, self.cache.reserve(key, (1, 16, frames), keep)

    @rule(target=stored, pair=consumes(reserved))
    def commit(self, pair: tuple[Key, slots.Slot | None]) -> Key:
        key, slot = pair
        if slot is not None and key in list(self.cache):
            array = spectrogram(key.clip, slot.shape)
            self.cache.commit(key, slots.write(slot, array, self.cache.pages.map))
            self.known[key] = array
        return key

    @rule(pair=consumes(reserved), full=st.booleans())
    def abandon(self, pair: tuple[Key, slots.Slot | None], full: bool) -> None:
        self.cache.abandon(pair[0], disk_is_full=full and pair[1] is not None and pair[1].tier == "disk")

    @rule(key=stored)
    def read(self, key: Key) -> None:
        found = self.cache.read(key)
        if key in self.cache:
            np.testing.assert_array_equal(self.known[key], found)
        else:
            assert found is None

    @rule(key=stored)
    def release(self, key: Key) -> None:
        self.cache.release(key)

    @rule(key=stored, cut=st.booleans())
    def injure(self, key: Key, cut: bool) -> None:
        found = self.cache.find(key)
        if found is None or found[0].tier != "disk":
            return
        if cut:
            os.truncate(found[0].path, Path(found[0].path).stat().st_size // 2)
        else:
            Path(found[0].path).unlink()
        assert self.cache.check() != []
        assert self.cache.read(key) is None

    @rule(digest=st.sampled_from("ab"))
    def drop(self, digest: str) -> None:
        self.cache.drop(digest)

    @rule(pressure=st.sampled_from((0.0, 0.96)))
    def press(self, pressure: float) -> None:
        self.pressure = pressure

    @rule()
    def freeze(self) -> None:
        self.cache.freeze()

    @invariant()
    def bounds_hold(self) -> None:
        assert self.cache.memory_bytes <= self.MEMORY
        assert self.cache.disk_bytes <= self.DISK
        assert bytes_in_memory(self.cache) <= self.MEMORY
        assert bytes_on_disk(self.scratch) <= self.DISK

    @invariant()
    def books_agree(self) -> None:
        assert self.cache.check() == []

    def teardown(self) -> None:
        self.cache.close()
        assert bytes_on_disk(self.scratch) == 0
        shutil.rmtree(self.scratch)


def test_cache_stays_within_both_limits_after_every_step_of_any_sequence() -> None:
    """Bytes of both tiers, as the operating system counts them, never pass their limits, and check() finds nothing."""
    run_state_machine_as_test(AnyOrder, settings=settings(max_examples=40, stateful_step_count=30, deadline=None))


@pytest.fixture
def make_cache(tmp_path: Path) -> Iterator[Callable[..., SpectrogramCache]]:
    """Makes caches that are checked and closed at the end of the test, and must leave no file."""
    caches = []

    def make(memory: int = 4 * PAGE, disk: int = 4 * 4096, **others: object) -> SpectrogramCache:
        caches.append(SpectrogramCache(memory, disk, Path(others.pop("scratch", tmp_path)), **others))
        return caches[-1]

    yield make
    for cache in caches:
        assert cache.check() == []
        cache.close()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("backing", BACKINGS)
def test_cache_on_each_backing_returns_what_was_stored(
    make_cache: Callable[..., SpectrogramCache], backing: str
) -> None:
    """Memory from memfd, from /dev/shm and from the scratch folder hold arrays alike."""
    cache = make_cache(backings=(backing,))

    assert store(cache, Key("a", 1), spectrogram(1)) == "memory"

    assert cache.backing == backing
    np.testing.assert_array_equal(spectrogram(1), cache.read(Key("a", 1)))


def test_cache_beyond_memory_spills_and_beyond_disk_stages(make_cache: Callable[..., SpectrogramCache]) -> None:
    """Memory first, then disk, then the staging share, then nothing until something is released."""
    cache = make_cache(3 * PAGE, 2 * 4096, staging_bytes=PAGE)

    tiers = [store(cache, Key("a", i), spectrogram(i)) for i in range(6)]

    assert tiers == ["memory", "memory", "disk", "disk", "memory", "none"]
    assert [cache.counts[what] for what in ("memory", "disk", "not kept")] == [2, 2, 1]
    for i in range(5):
        np.testing.assert_array_equal(spectrogram(i), cache.read(Key("a", i)), f"clip {i}")
    cache.release(Key("a", 4))
    cache.release(Key("a", 0))
    assert Key("a", 4) not in cache
    assert Key("a", 0) in cache, "a kept array stays when it is released"
    assert store(cache, Key("a", 5), spectrogram(5)) == "memory"


def test_cache_without_any_room_says_so(make_cache: Callable[..., SpectrogramCache]) -> None:
    """Limits of zero are a cache of nothing, not an error."""
    cache = make_cache(0, 0)

    assert cache.reserve(Key("a", 1), SHAPE) is None
    assert cache.pages is None
    assert cache.backing == "none"


def test_cache_reserved_twice_is_refused(make_cache: Callable[..., SpectrogramCache]) -> None:
    """Two workers never fill one slot."""
    cache = make_cache()
    cache.reserve(Key("a", 1), SHAPE)

    with pytest.raises(CacheError, match="has a slot already"):
        cache.reserve(Key("a", 1), SHAPE)
    cache.abandon(Key("a", 1))


def test_cache_slot_that_is_not_committed_is_a_miss(make_cache: Callable[..., SpectrogramCache]) -> None:
    """Half-written spectrograms are never read, and their room comes back when the worker dies."""
    cache = make_cache(2 * PAGE, 0)
    cache.reserve(Key("a", 1), (1, 16, 128))

    assert Key("a", 1) not in cache
    assert cache.read(Key("a", 1)) is None
    cache.abandon(Key("a", 1))
    cache.abandon(Key("a", 1))
    assert cache.memory_bytes == 0
    assert cache.counts["abandoned"] == 1


def test_two_recipes_with_equal_digests_share_and_are_dropped_together(
    make_cache: Callable[..., SpectrogramCache],
) -> None:
    """Sharing is by front end, not by member."""
    cache = make_cache()
    for digest in ("a", "b"):
        for clip in range(2):
            store(cache, Key(digest, clip), spectrogram(clip))

    cache.drop("a")

    assert sorted(key.digest for key in cache) == ["b", "b"]
    assert cache.memory_bytes == 2 * PAGE


def test_cache_of_float16_takes_half_the_room_within_its_rounding(make_cache: Callable[..., SpectrogramCache]) -> None:
    """Half precision stores twice as many arrays and changes each value by at most 1/2048 of it."""
    cache = make_cache(2 * PAGE, 4 * 4096, dtype="float16")
    wide = spectrogram(1, (1, 16, 256))

    tiers = [store(cache, Key("a", i), wide) for i in range(2)]

    assert tiers == ["memory", "disk"]
    for i in range(2):
        assert cache.read(Key("a", i)).dtype == np.float16
        np.testing.assert_allclose(wide, cache.read(Key("a", i)).astype(np.float32), rtol=2**-11, atol=1e-7)
    assert cache.memory_bytes == cache.disk_bytes == 2 * 4096


def test_cache_under_pressure_of_the_machine_sends_new_arrays_to_disk(
    make_cache: Callable[..., SpectrogramCache],
) -> None:
    """From 95 % of the machine's memory on nothing more is kept in it, though the limit is not reached."""
    used = [0.94]
    cache = make_cache(pressure=lambda: used[0])

    before = store(cache, Key("a", 1), spectrogram(1))
    used[0] = 0.95
    after = store(cache, Key("a", 2), spectrogram(2))

    assert (before, after) == ("memory", "disk")
    assert cache.counts["pressure"] == 1


def test_cache_frozen_keeps_what_it_has_and_a_staging_share(make_cache: Callable[..., SpectrogramCache]) -> None:
    """When memory is short the tier stops growing, and runs go on through the staging share."""
    cache = make_cache(8 * PAGE, 0, staging_bytes=PAGE)
    store(cache, Key("a", 0), spectrogram(0))

    cache.freeze()

    assert store(cache, Key("a", 1), spectrogram(1)) == "memory"
    assert store(cache, Key("a", 2), spectrogram(2)) == "none"
    assert cache.transient_bytes == PAGE
    cache.release(Key("a", 1))
    assert store(cache, Key("a", 2), spectrogram(2), keep=False) == "memory"


def test_cache_that_must_make_room_forgets_what_nobody_wants_now(make_cache: Callable[..., SpectrogramCache]) -> None:
    """A very long clip finds room in memory at the cost of arrays that can be computed again."""
    cache = make_cache(4 * PAGE, 0, staging_bytes=PAGE)
    for i in range(3):
        store(cache, Key("a", i), spectrogram(i))
    long = (1, 16, 128)  # two pages

    while cache.reserve(Key("a", 9), long) is None:
        assert cache.evict(lambda key: key.clip == 0)

    assert [Key("a", i) in cache for i in range(3)] == [True, False, False]
    assert cache.counts["evicted"] == 2
    assert not cache.evict(lambda key: key.clip == 0), "what is not there yet cannot be forgotten"
    cache.abandon(Key("a", 9))


def test_cache_with_a_lower_limit_obeys_it(make_cache: Callable[..., SpectrogramCache]) -> None:
    """The bound that the budget sets after the start is the one that holds."""
    cache = make_cache(8 * PAGE, 0)

    cache.lower_limit(2 * PAGE + 5, PAGE)

    assert [store(cache, Key("a", i), spectrogram(i)) for i in range(3)] == ["memory", "memory", "none"]
    assert cache.staging_bytes == PAGE


@pytest.mark.parametrize("injury", ["deleted", "cut", "longer", "flipped"])
def test_damaged_spill_file_is_a_counted_miss(make_cache: Callable[..., SpectrogramCache], injury: str) -> None:
    """What cannot be read back as it was written is computed again, and said."""
    cache = make_cache(0, 4 * 4096)
    store(cache, Key("a", 1), spectrogram(1))
    store(cache, Key("a", 2), spectrogram(2))
    path = Path(cache.find(Key("a", 1))[0].path)
    data = path.read_bytes()
    if injury == "deleted":
        path.unlink()
    else:
        path.write_bytes({"cut": data[:-1], "longer": data + b"x", "flipped": b"\xff" + data[1:]}[injury])

    found = cache.check()

    assert injury == "flipped" or len(found) == 1, found
    assert cache.read(Key("a", 1)) is None
    assert Key("a", 1) not in cache
    assert cache.counts["damaged"] == 1
    assert cache.check() == []
    np.testing.assert_array_equal(spectrogram(2), cache.read(Key("a", 2)))
    assert store(cache, Key("a", 1), spectrogram(1)) == "disk"


def test_check_names_a_stray_file_and_a_vanished_one(make_cache: Callable[..., SpectrogramCache]) -> None:
    """Every disagreement between index and storage is listed by name."""
    cache = make_cache(0, 4 * 4096)
    store(cache, Key("a", 1), spectrogram(1))
    path = Path(cache.find(Key("a", 1))[0].path)
    path.rename(path.with_name("stray"))

    found = cache.check()

    assert found == [f"disk: {path.name} has vanished", "disk: stray is in no index"]
    path.with_name("stray").unlink()
    cache.damaged(Key("a", 1))


def test_spill_folder_that_vanishes_is_misses_and_smaller_room(make_cache: Callable[..., SpectrogramCache]) -> None:
    """Somebody cleaned the temporary folder: what lay there is computed again."""
    cache = make_cache(0, 4 * 4096)
    store(cache, Key("a", 1), spectrogram(1))
    shutil.rmtree(Path(cache.find(Key("a", 1))[0].path).parent)

    assert cache.read(Key("a", 1)) is None
    assert cache.counts["damaged"] == 1
    assert store(cache, Key("a", 1), spectrogram(1)) == "disk"


def full_disk(descriptor: int, offset: int, length: int) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_disk_that_fills_up_becomes_a_smaller_tier(
    make_cache: Callable[..., SpectrogramCache], monkeypatch: pytest.MonkeyPatch
) -> None:
    """ENOSPC in the middle costs room, never an array that is already there, and is no error."""
    cache = make_cache(PAGE, 8 * 4096, staging_bytes=PAGE)
    assert store(cache, Key("a", 1), spectrogram(1)) == "disk"
    slot = cache.reserve(Key("a", 2), SHAPE)
    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full_disk)
        with pytest.raises(OSError, match="No space left"):
            slots.write(slot, spectrogram(2), cache.pages.map)

    cache.abandon(Key("a", 2), disk_is_full=True)

    assert cache.disk_limit_bytes == 4096
    assert cache.counts["disk full"] == 1
    assert cache.check() == []
    assert store(cache, Key("a", 2), spectrogram(2)) == "memory"
    np.testing.assert_array_equal(spectrogram(1), cache.read(Key("a", 1)))


def test_memory_that_fills_up_becomes_a_smaller_tier(
    make_cache: Callable[..., SpectrogramCache], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backing that gives fewer pages than it promised ends in spilling, not in SIGBUS."""
    cache = make_cache(8 * PAGE, 4 * 4096)
    store(cache, Key("a", 1), spectrogram(1))
    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full_disk)
        slot = cache.reserve(Key("a", 2), SHAPE)

    assert slot.tier == "disk"
    assert cache.memory_bytes == PAGE
    cache.commit(Key("a", 2), slots.write(slot, spectrogram(2), cache.pages.map))
    assert store(cache, Key("a", 3), spectrogram(3)) == "disk", "the tier does not grow any more"


def test_spill_folder_that_cannot_be_made_is_no_disk_tier(
    make_cache: Callable[..., SpectrogramCache], tmp_path: Path
) -> None:
    """A scratch path that is no folder gives a cache of memory alone."""
    (tmp_path / "spill").write_text("in the way")
    cache = make_cache(PAGE, 8 * 4096, backings=("memfd",))

    assert [store(cache, Key("a", i), spectrogram(i)) for i in range(2)] == ["memory", "none"]
    assert cache.disk_limit_bytes == 0
    (tmp_path / "spill").unlink()


def absent(scratch: Path) -> int:
    raise FileNotFoundError(errno.ENOENT, "No such file or directory")


def read_only(scratch: Path) -> int:
    raise OSError(errno.EROFS, "Read-only file system")


@pytest.mark.parametrize("shm", [absent, read_only])
def test_cache_without_shared_memory_folder_maps_a_file_of_the_scratch_folder(
    make_cache: Callable[..., SpectrogramCache], monkeypatch: pytest.MonkeyPatch, shm: Callable[[Path], int]
) -> None:
    """No memfd, and /dev/shm absent or read-only: the last backing is a nameless file, which works alike."""
    monkeypatch.setitem(memory_tier.BACKINGS, "memfd", absent)
    monkeypatch.setitem(memory_tier.BACKINGS, "shm", shm)
    cache = make_cache()

    assert store(cache, Key("a", 1), spectrogram(1)) == "memory"
    assert cache.backing == "scratch"


def test_cache_without_any_backing_spills(
    make_cache: Callable[..., SpectrogramCache], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that shares no memory at all still has the disk tier."""
    for name in BACKINGS:
        monkeypatch.setitem(memory_tier.BACKINGS, name, read_only)
    cache = make_cache()

    assert store(cache, Key("a", 1), spectrogram(1)) == "disk"
    assert (cache.backing, cache.pages) == ("none", None)
    np.testing.assert_array_equal(spectrogram(1), cache.read(Key("a", 1)))


@pytest.fixture
def small_mount(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of 1 MiB, mounted for this test."""
    folder = tmp_path / "mounted"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        pytest.skip(f"this machine lets nobody mount: {result.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@requires_root
def test_cache_over_shared_memory_of_one_mebibyte_spills_what_does_not_fit(
    small_mount: Path, make_cache: Callable[..., SpectrogramCache], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container's tiny /dev/shm bounds the memory tier at what it really gives, and the rest goes to disk."""
    monkeypatch.setitem(memory_tier.BACKINGS, "shm", lambda _: memory_tier._nameless(small_mount))
    cache = make_cache(64 * 2**20, 4 * 2**20, backings=("shm",))
    large = (1, 64, 512)  # 128 KiB

    tiers = [store(cache, Key("a", i), spectrogram(i, large)) for i in range(12)]

    assert tiers == ["memory"] * 8 + ["disk"] * 4
    for i in range(12):
        np.testing.assert_array_equal(spectrogram(i, large), cache.read(Key("a", i)), f"clip {i}")
    assert list(small_mount.iterdir()) == []


@requires_root
def test_scratch_folder_that_fills_up_in_the_middle_is_a_smaller_cache(
    small_mount: Path, make_cache: Callable[..., SpectrogramCache]
) -> None:
    """A real ENOSPC: what was spilled before stays readable, nothing half-written remains."""
    cache = make_cache(0, 64 * 2**20, scratch=small_mount)
    large = (1, 64, 512)
    stored = []
    for i in range(12):
        try:
            store(cache, Key("a", i), spectrogram(i, large))
        except OSError:  # as a worker meets it, and the engine hears of it
            cache.abandon(Key("a", i), disk_is_full=True)
        assert cache.check() == []
        stored += [i] if Key("a", i) in cache else []

    assert len(stored) in (7, 8)
    assert cache.counts["disk full"] == 1
    assert bytes_on_disk(small_mount) == cache.disk_bytes
    for i in stored:
        np.testing.assert_array_equal(spectrogram(i, large), cache.read(Key("a", i)), f"clip {i}")


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("backing", BACKINGS)
def test_pages_reach_a_process_that_fills_a_slot_in_place(
    make_cache: Callable[..., SpectrogramCache], method: str, backing: str
) -> None:
    """What another process writes is there, without a copy through a pipe, forked and spawned."""
    cache = make_cache(backings=(backing,))
    key = Key("a", 1)
    slot = cache.reserve(key, SHAPE)

    process = multiprocessing.get_context(method).Process(target=fill, args=(cache.pages, slot, spectrogram(7)))
    process.start()
    process.join(60)

    assert process.exitcode == 0
    cache.commit(key, 0)
    np.testing.assert_array_equal(spectrogram(7), cache.read(key))


def test_closed_cache_leaves_no_descriptor_and_no_file(tmp_path: Path) -> None:
    """After the end nothing of ours remains: no file, no segment, no open descriptor."""
    shm = Path("/dev/shm")
    before = len(list(Path("/proc/self/fd").iterdir())), {p.name for p in shm.iterdir()} if shm.is_dir() else set()
    for backing in BACKINGS:
        cache = SpectrogramCache(2 * PAGE, 4 * 4096, tmp_path, backings=(backing,))
        for i in range(4):
            store(cache, Key("a", i), spectrogram(i))
        cache.close()
        assert cache.check() == []
    after = len(list(Path("/proc/self/fd").iterdir())), {p.name for p in shm.iterdir()} if shm.is_dir() else set()

    assert before == after
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
