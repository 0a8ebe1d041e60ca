"""A worker's life: it decodes clips and computes their spectrograms straight into the cache's slots.

A worker holds nothing that others need, and writes arrays in place, so it can be killed at any moment at the cost of
one clip's attempt.
"""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from soundpost.audio.decode import AudioSettings, Decoded, decode
from soundpost.audio.windows import Samples, WindowSettings
from soundpost.errors import ClipError
from soundpost.resources.processes import die_with_parent
from soundpost.spectrograms.cache.memory_tier import SharedPages
from soundpost.spectrograms.cache.slots import Shape, Slot, write
from soundpost.spectrograms.worker_messages import Failed, Refused, Stored, Task, Wanted


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
            except Exception as error:  # noqa: BLE001  whatever a decoder or front end raises costs this clip
                name = Path(task.path).name
                connection.send(
                    Failed(f"{name}: {type(error).__name__}: {error}. Look at the clip; its row is filled.")
                )
    except (EOFError, ConnectionError):
        return


def _perform(task: Task, connection: Connection, pages: SharedPages | None, front_ends: dict[str, Any]) -> None:
    import torch

    from soundpost.front_ends import FRONT_ENDS
    from soundpost.registry import build, settings_from

    if task.digest not in front_ends:
        front_ends[task.digest] = (
            settings_from(AudioSettings, task.audio, "[audio]"),
            build(FRONT_ENDS, task.front_end, task.front_end_settings, "front end"),
        )
    audio, front_end = front_ends[task.digest]
    started = time.thread_time()
    work = _rows(task, audio, front_end) if task.rows else _clip(task, audio, front_end)
    decode_seconds = time.thread_time() - started
    decoded = work.decoded
    seconds = len(decoded.waveform) / decoded.sample_rate
    told = (decoded.silent, decoded.second_reader)
    connection.send(Wanted(work.shape, work.remarks, seconds, decode_seconds, *told))
    slot: Slot | None = connection.recv()
    started = time.thread_time()
    if slot is None:
        return
    with torch.inference_mode():
        array = work.make().numpy()
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
class _Work:
    """What a task has decoded, and how its spectrogram is made once there is room for it."""

    decoded: Decoded
    shape: Shape
    remarks: tuple[str, ...]
    make: Callable[[], Any]  # the spectrogram, a tensor


def _clip(task: Task, audio: AudioSettings, front_end: Any) -> _Work:
    import torch

    audio = replace(audio, max_seconds=min(audio.max_seconds, task.max_seconds))
    decoded = decode(Path(task.path), audio, task.stretch)
    waveform = decoded.waveform
    return _Work(
        decoded,
        front_end.shape(len(waveform)),
        decoded.remarks,
        lambda: front_end(torch.from_numpy(waveform)[None])[0],
    )


def _rows(task: Task, audio: AudioSettings, front_end: Any) -> _Work:
    """Rows of a recording: only what they hear is read, nothing is trimmed, and what is missing behind is silence."""
    from soundpost.front_ends.row_pictures import RowPictures

    assert task.rows is not None
    rows, rate = task.rows, audio.sample_rate
    pictures = RowPictures(front_end, WindowSettings(**rows.windows), rate)
    audio = replace(audio, trim_db=0.0, length_rule="any", length_samples=0)
    parts: list[tuple[int, Decoded]] = []
    for begin, end in pictures.parts(rows.first, rows.count, rows.total):
        wanted = replace(audio, start_seconds=begin / rate, max_seconds=(end - begin) / rate + 1.0)
        try:
            parts.append((begin, decode(Path(task.path), wanted)))
        except ClipError:
            if not parts:
                raise
            # The ring's other end is silence where the recording has ended before its last row has.
    decoded = parts[0][1]
    samples = Samples([(begin, found.waveform) for begin, found in parts])
    return _Work(
        decoded,
        pictures.shape(rows.count),
        tuple(remark for remark in decoded.remarks if not remark.endswith("were read")),  # the rest is other rows'
        lambda: pictures(samples, rows.first, rows.count, rows.total),
    )
