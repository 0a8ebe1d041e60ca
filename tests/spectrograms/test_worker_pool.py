"""Workers: spectrograms written in place; a worker that dies or hangs costs one attempt at one clip."""

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from conftest import RATE, waveform

from soundpost.audio.decode import AudioSettings, decode
from soundpost.front_ends.log_mel import LogMel, LogMelSettings
from soundpost.spectrograms.cache import Key, SpectrogramCache
from soundpost.spectrograms.worker_messages import Died, Failed, Message, Refused, Stored, Task, Wanted
from soundpost.spectrograms.worker_pool import Worker, WorkerPool

FRONT_END = {"sample_rate": RATE, "n_fft": 512, "hop_length": 256, "n_mels": 16}
PATIENCE_SECONDS = 60.0  # what a slow machine is given to say something


def task(path: Path, clip: int = 0, **others: object) -> Task:
    return Task(
        **{
            "clip": clip,
            "path": str(path),
            "digest": "d",
            "audio": {"sample_rate": RATE},
            "front_end": "log_mel",
            "front_end_settings": FRONT_END,
            "max_seconds": 100.0,
            **others,
        }
    )


def spectrogram_of(path: Path) -> np.ndarray:
    decoded = decode(path, AudioSettings(sample_rate=RATE))
    return LogMel(LogMelSettings(**FRONT_END))(torch.from_numpy(decoded.waveform)[None])[0].numpy()


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A wav of 0.4 s."""
    soundfile.write(tmp_path / "clip.wav", waveform(0.4, 3), RATE)
    return tmp_path / "clip.wav"


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[SpectrogramCache]:
    """Room for a few spectrograms in memory, and for some on disk."""
    made = SpectrogramCache(2**18, 2**20, tmp_path / "scratch")
    yield made
    assert made.check() == []
    made.close()


@pytest.fixture
def make_pool(cache: SpectrogramCache) -> Iterator[Any]:
    """Makes pools that are closed at the end of the test, and whose processes must be gone then."""
    pools = []

    def make(count: int = 1, method: str = "fork", **others: int) -> WorkerPool:
        pools.append(WorkerPool(count, cache.pages, method, **others))
        return pools[-1]

    yield make
    for pool in pools:
        processes = [worker.process for worker in pool.workers]
        pool.close()
        assert not any(process.is_alive() for process in processes)


def next_message(pool: WorkerPool) -> tuple[Worker, Message]:
    """The pool's next news; the test fails when none comes."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        for found in list(pool.messages(1.0)):
            return found
    return pytest.fail("the workers have nothing to say")


def perform(pool: WorkerPool, cache: SpectrogramCache, work: Task) -> Message:
    """One task from hand to hand, with slots as the cache has them; the last message."""
    worker = pool.idle()[0]
    worker.give(work)
    key = Key(work.digest, work.clip)
    while True:
        _, message = next_message(pool)
        if isinstance(message, Wanted):
            worker.tell(cache.reserve(key, message.shape))
        elif isinstance(message, Stored):
            cache.commit(key, message.checksum)
            worker.task = None
            return message
        else:
            return message


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_worker_fills_its_slot_with_the_spectrogram(
    make_pool: Any, cache: SpectrogramCache, clip: Path, method: str
) -> None:
    """Forked or spawned, what lies in the cache is what the front end makes of the clip here."""
    assert isinstance(perform(make_pool(method=method), cache, task(clip)), Stored)

    np.testing.assert_array_equal(spectrogram_of(clip), cache.read(Key("d", 0)))


def test_worker_tells_length_and_remarks_before_it_wants_room(
    make_pool: Any, cache: SpectrogramCache, clip: Path
) -> None:
    """What lies beyond the seconds allowed is not read, and said."""
    pool = make_pool()
    pool.idle()[0].give(task(clip, max_seconds=0.25))

    worker, wanted = next_message(pool)

    assert wanted.shape == (1, 16, 1 + 4000 // 256)
    assert wanted.seconds == 0.25
    assert "only the first 0.25 s" in wanted.remarks[0]
    assert worker.task is not None


def test_worker_tells_that_a_clip_is_silent(make_pool: Any, cache: SpectrogramCache, clip: Path) -> None:
    """The report names it; it is answered like any other."""
    soundfile.write(clip, np.zeros(RATE), RATE)
    pool = make_pool()
    pool.idle()[0].give(task(clip))

    wanted = next_message(pool)[1]

    assert wanted.silent == f"{clip.name}: all 16,000 samples are 0"
    assert (wanted.remarks, wanted.second_reader) == ((), "")


def test_worker_that_gets_no_room_goes_on_with_the_next_clip(
    make_pool: Any, cache: SpectrogramCache, clip: Path
) -> None:
    """A clip that fits no tier costs its own row, not the worker."""
    pool = make_pool()
    worker = pool.idle()[0]
    worker.give(task(clip, clip=1))
    assert isinstance(next_message(pool)[1], Wanted)
    worker.tell(None)
    worker.task = None

    assert isinstance(perform(pool, cache, task(clip, clip=2)), Stored)
    assert pool.deaths == 0


def test_worker_whose_disk_is_full_asks_for_another_slot(
    make_pool: Any, cache: SpectrogramCache, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ENOSPC in the middle is told, the array is kept, and the next slot gets it."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        pool = make_pool()  # forked now, the worker's disk is full for good
    cache.lower_limit(2**17, 2**17)  # all of the memory is staging, so that what is kept goes to disk
    worker = pool.idle()[0]
    worker.give(task(clip))
    worker.tell(cache.reserve(Key("d", 0), next_message(pool)[1].shape))

    _, refused = next_message(pool)
    assert isinstance(refused, Refused)
    assert "No space left" in refused.reason
    shape = cache.shape(Key("d", 0))
    cache.abandon(Key("d", 0), disk_is_full=True)
    worker.tell(cache.reserve(Key("d", 0), shape))
    assert isinstance(next_message(pool)[1], Stored)
    cache.commit(Key("d", 0), 0)

    np.testing.assert_array_equal(spectrogram_of(clip), cache.read(Key("d", 0)))


@pytest.mark.parametrize(
    ("content", "words"), [(b"", "0 bytes"), (b"RIFFnothing", "no audio file"), (None, "cannot be opened")]
)
def test_clip_that_cannot_be_read_is_named_and_the_worker_goes_on(
    make_pool: Any, cache: SpectrogramCache, clip: Path, content: bytes | None, words: str
) -> None:
    """One bad clip costs one row."""
    bad = clip.with_name("bad.wav")
    if content is not None:
        bad.write_bytes(content)
    pool = make_pool()

    failed = perform(pool, cache, task(bad))

    assert isinstance(failed, Failed)
    assert failed.reason.startswith("bad.wav: ")
    assert words in failed.reason
    pool.workers[0].task = None
    assert isinstance(perform(pool, cache, task(clip)), Stored)


def test_front_end_that_raises_whatever_costs_its_clip_alone(
    make_pool: Any, cache: SpectrogramCache, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even an exception that nobody foresaw is named, and the worker lives."""

    def broken(self: LogMel, samples: int) -> tuple[int, int, int]:
        raise IndexError("axis 7")

    with monkeypatch.context() as patch:
        patch.setattr(LogMel, "shape", broken)
        pool = make_pool()

    failed = perform(pool, cache, task(clip))

    assert failed == Failed("clip.wav: IndexError: axis 7. Look at the clip; its row is filled.")
    assert pool.workers[0].process.is_alive()


def test_worker_that_is_killed_is_reported_once_and_replaced(
    make_pool: Any, cache: SpectrogramCache, clip: Path
) -> None:
    """SIGKILL at work costs that clip's attempt; the fresh worker does it, and the slot is free again."""
    pool = make_pool()
    worker = pool.idle()[0]
    worker.give(task(clip))
    cache.reserve(Key("d", 0), next_message(pool)[1].shape)

    os.kill(worker.process.pid, signal.SIGKILL)
    who, died = next_message(pool)

    assert who is worker
    assert died == Died(f"worker {worker.process.pid} ended with status -9")
    assert pool.deaths == 1
    assert len(pool.workers) == 1
    assert pool.workers[0] is not worker
    cache.abandon(Key("d", 0))
    assert cache.memory_bytes == 0
    assert isinstance(perform(pool, cache, task(clip)), Stored)


def test_worker_that_hangs_is_replaced_when_asked(make_pool: Any, cache: SpectrogramCache, clip: Path) -> None:
    """A stopped process is killed and its place filled; others are not touched."""
    pool = make_pool(2)
    stuck, other = pool.workers
    os.kill(stuck.process.pid, signal.SIGSTOP)
    stuck.give(task(clip))

    pool.replace(stuck)

    assert not stuck.process.is_alive()
    assert other in pool.workers
    assert len(pool.workers) == 2


def test_pool_that_has_used_up_its_replacements_gets_smaller(make_pool: Any) -> None:
    """Workers that die at once do not keep the engine busy for ever."""
    pool = make_pool(1, max_replacements=0)

    pool.replace(pool.workers[0])

    assert pool.workers == []
    assert list(pool.messages(0.0)) == []


def test_pool_shrinks_by_its_idle_workers_alone(make_pool: Any, clip: Path) -> None:
    """Fewer workers where memory is short; one at work is left to finish."""
    pool = make_pool(3)
    busy = pool.workers[0]
    busy.give(task(clip))

    pool.shrink(1)

    assert pool.workers == [busy]
    assert pool.pids == [busy.process.pid]


def test_workers_are_gone_when_their_engine_is_killed(cache: SpectrogramCache) -> None:
    """SIGKILL of the engine leaves no process behind."""
    reading, writing = multiprocessing.Pipe(duplex=False)

    def engine() -> None:
        pool = WorkerPool(2, cache.pages, "fork")
        writing.send(pool.pids)
        time.sleep(PATIENCE_SECONDS)

    process = multiprocessing.get_context("fork").Process(target=engine)
    process.start()
    pids = reading.recv()
    process.kill()
    process.join()

    until = time.monotonic() + PATIENCE_SECONDS
    while any(map(_is_running, pids)) and time.monotonic() < until:
        time.sleep(0.01)
    assert [pid for pid in pids if _is_running(pid)] == []


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
