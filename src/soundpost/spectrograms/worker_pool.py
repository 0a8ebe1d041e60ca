"""Processes that decode clips and compute their spectrograms straight into the cache's slots.

A worker holds nothing that others need: it talks to the engine over its own pipe in a few small messages and
writes arrays in place, so it can be killed at any moment at the cost of one clip's attempt.

    engine -> worker   Task                               worker -> engine   Wanted(shape): room, please
    engine -> worker   Slot, or None: there is none       worker -> engine   Stored | Refused(disk full) | Failed
"""

import gc
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from soundpost.errors import ClipError
from soundpost.resources.processes import die_with_parent
from soundpost.spectrograms.cache.memory_tier import SharedPages
from soundpost.spectrograms.cache.slots import Shape, Slot, write

KILL_SECONDS = 1.0  # to wait for a killed process; one that hangs in a read of a dead disk never goes


@dataclass(frozen=True)
class Task:
    """One clip under one front end."""

    clip: int
    path: str
    digest: str
    audio: Mapping[str, Any]  # AudioSettings
    front_end: str  # name in FRONT_ENDS
    front_end_settings: Mapping[str, Any]
    max_seconds: float  # of audio; what lies beyond is not read, with a remark
    rows: "RowsWanted | None" = None  # of a stretch of a recording; None: the clip is one row


@dataclass(frozen=True)
class RowsWanted:
    """Windows of a recording that follow one another."""

    windows: Mapping[str, Any]  # WindowSettings
    first: int  # number of the first one in the recording
    count: int


@dataclass(frozen=True)
class Wanted:
    """The clip is decoded; its spectrogram will have this shape."""

    shape: Shape
    remarks: tuple[str, ...]
    seconds: float  # of audio
    decode_cpu_seconds: float


@dataclass(frozen=True)
class Stored:
    """The spectrogram is in its slot."""

    checksum: int
    features_cpu_seconds: float


@dataclass(frozen=True)
class Refused:
    """The disk had no room for the slot; another one, please."""

    reason: str


@dataclass(frozen=True)
class Failed:
    """The clip cannot be read; the reason is a sentence."""

    reason: str


@dataclass(frozen=True)
class Died:
    """The worker is gone."""

    reason: str


Message = Wanted | Stored | Refused | Failed | Died


def serve(connection: Connection, pages: SharedPages | None, parent: int) -> None:
    """A worker's life: tasks in, slots filled, until it is killed, by the engine or with it."""
    die_with_parent()
    if os.getppid() != parent:
        return
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    import torch

    torch.set_num_threads(1)
    front_ends: dict[str, Any] = {}
    try:
        while True:
            task = connection.recv()
            try:
                _perform(task, connection, pages, front_ends)
            except ClipError as error:
                connection.send(Failed(str(error)))
            except (EOFError, ConnectionError):
                return
            except Exception as error:  # whatever a decoder or front end raises costs this clip, and is named
                name = Path(task.path).name
                connection.send(
                    Failed(f"{name}: {type(error).__name__}: {error}. Look at the clip; its row is filled.")
                )
    except (EOFError, ConnectionError):
        return


def _perform(task: Task, connection: Connection, pages: SharedPages | None, front_ends: dict[str, Any]) -> None:
    import torch

    from soundpost.audio.decode import AudioSettings
    from soundpost.front_ends import FRONT_ENDS
    from soundpost.registry import build, settings_from

    if task.digest not in front_ends:
        front_ends[task.digest] = (
            settings_from(AudioSettings, task.audio, "[audio]"),
            build(FRONT_ENDS, task.front_end, task.front_end_settings, "front end"),
        )
    audio, front_end = front_ends[task.digest]
    started = time.thread_time()
    made = _stretch(task, audio, front_end) if task.rows else _clip(task, audio, front_end)
    decode_seconds = time.thread_time() - started
    connection.send(Wanted(made.shape, made.remarks, made.seconds, decode_seconds))
    slot: Slot | None = connection.recv()
    started = time.thread_time()
    if slot is None:
        return
    with torch.inference_mode():
        array = made.make().numpy()
    while slot is not None:
        try:
            checksum = write(slot, array, pages.map if pages else None)
        except OSError as error:
            connection.send(Refused(str(error)))
            slot = connection.recv()
        else:
            connection.send(Stored(checksum, time.thread_time() - started))
            return


@dataclass(frozen=True)
class _Decoded:
    """What a task has decoded, and how its spectrogram is made once there is room for it."""

    shape: Shape
    remarks: tuple[str, ...]
    seconds: float  # of audio
    make: Callable[[], Any]  # the spectrogram, a tensor


def _clip(task: Task, audio: Any, front_end: Any) -> _Decoded:
    import torch

    from soundpost.audio.decode import decode

    decoded = decode(Path(task.path), replace(audio, max_seconds=min(audio.max_seconds, task.max_seconds)))
    waveform = decoded.waveform
    return _Decoded(
        front_end.shape(len(waveform)),
        decoded.remarks,
        len(waveform) / decoded.sample_rate,
        lambda: front_end(torch.from_numpy(waveform)[None])[0],
    )


def _stretch(task: Task, audio: Any, front_end: Any) -> _Decoded:
    """Rows of a recording: only what they hear is read, nothing is trimmed, and what is missing behind is silence."""
    from soundpost.audio.decode import decode
    from soundpost.audio.windows import WindowSettings
    from soundpost.front_ends.row_pictures import RowPictures

    assert task.rows is not None
    first, count = task.rows.first, task.rows.count
    pictures = RowPictures(front_end, WindowSettings(**task.rows.windows), audio.sample_rate)
    begin, end = pictures.reach(first, count)
    wanted = replace(
        audio, trim_db=0.0, length_rule="any", length_samples=0, start_seconds=begin, max_seconds=end - begin + 1.0
    )
    decoded = decode(Path(task.path), wanted)
    start = round(begin * audio.sample_rate)
    return _Decoded(
        pictures.shape(count),
        tuple(remark for remark in decoded.remarks if not remark.endswith("were read")),
        len(decoded.waveform) / decoded.sample_rate,
        lambda: pictures(decoded.waveform, start, first, count),
    )


class Worker:
    """One process, its pipe, and what it is doing."""

    def __init__(self, context: Any, pages: SharedPages | None) -> None:
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, pages, os.getpid()), daemon=True)
        self.process.start()
        theirs.close()
        self.task: Task | None = None
        self.since = time.monotonic()  # when the task began

    def give(self, task: Task) -> None:
        """Start a task; the worker must be idle."""
        self.task = task
        self.since = time.monotonic()
        self.tell(task)

    def tell(self, message: Task | Slot | None) -> None:
        """Send a message; when nobody is there any more, the death comes among the pool's messages."""
        with suppress(OSError):
            self.connection.send(message)

    def kill(self) -> None:
        """End the process at once; it holds nothing that anybody needs."""
        self.process.kill()
        self.process.join(KILL_SECONDS)
        self.connection.close()


class WorkerPool:
    """A fixed number of workers; one that dies is replaced by a freshly spawned one.

    Args:
        count: of processes.
        pages: the cache's memory tier, mapped by every worker.
        start_method: "fork" (cheap: must happen before threads and CUDA) or "spawn".
        max_replacements: after so many deaths no new worker is started any more.
    """

    def __init__(self, count: int, pages: SharedPages | None, start_method: str, max_replacements: int = 20) -> None:
        self._pages = pages
        self._replacements_left = max_replacements
        context = multiprocessing.get_context(start_method)
        if start_method == "fork":
            gc.freeze()  # a collection, here or in a worker, would write to every page of objects that they share
        self.workers = [Worker(context, pages) for _ in range(count)]
        self.deaths = 0

    @property
    def pids(self) -> list[int]:
        """Of the living workers."""
        return [worker.process.pid for worker in self.workers if worker.process.pid]

    def idle(self) -> list[Worker]:
        """Workers without a task."""
        return [worker for worker in self.workers if worker.task is None]

    def busy(self) -> list[Worker]:
        """Workers with a task."""
        return [worker for worker in self.workers if worker.task is not None]

    def messages(self, timeout: float, extra: tuple[Any, ...] = ()) -> Iterator[tuple[Worker, Message]]:
        """What the workers have to say, waiting at most timeout seconds for the first word.

        Args:
            timeout: seconds.
            extra: more waitable objects that end the waiting, such as the read end of a pipe.
        """
        by_connection = {worker.connection: worker for worker in self.workers}
        by_sentinel = {worker.process.sentinel: worker for worker in self.workers}
        ready = wait([*by_connection, *by_sentinel, *extra], timeout)
        for source in ready:
            if source in by_connection:
                worker = by_connection[source]
                try:
                    message: Message = worker.connection.recv()
                except (EOFError, OSError):
                    continue  # its sentinel tells why
                yield worker, message
        for source in ready:
            if source in by_sentinel and by_sentinel[source] in self.workers:
                worker = by_sentinel[source]
                worker.process.join()
                yield worker, Died(f"worker {worker.process.pid} ended with status {worker.process.exitcode}")
                self.replace(worker)

    def replace(self, worker: Worker) -> None:
        """Kill a worker and put a fresh one in its place, as long as replacements are left."""
        worker.kill()
        self.workers.remove(worker)
        self.deaths += 1
        if self._replacements_left > 0:
            self._replacements_left -= 1
            self.workers.append(Worker(multiprocessing.get_context("spawn"), self._pages))

    def shrink(self, count: int) -> None:
        """Keep at most so many workers; only idle ones go."""
        for worker in self.idle()[: max(0, len(self.workers) - count)]:
            worker.kill()
            self.workers.remove(worker)

    def close(self) -> None:
        """Kill all workers; what they were doing is lost, what they stored is not."""
        for worker in self.workers:
            worker.kill()
        self.workers.clear()
