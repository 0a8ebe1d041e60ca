"""Page-locked host memory of one lane on a GPU, reused by its batches, and answers on their way into it."""

from collections.abc import Sequence
from math import prod
from typing import Protocol

import torch
from torch import Tensor

BUFFERS = 2  # buffers of each kind: the device may be at one while the lane is at the other
ROUNDED_TO = 2**20  # bytes; a buffer is made a little larger than asked, so that few are made


class Event(Protocol):
    """A mark in the queue of a device."""

    def synchronize(self) -> None:
        """Wait until the device has come to it."""
        ...


class HostBuffers:
    """Buffers for the batches and the answers of one lane, which has two batches under way and never three.

    Where no page can be locked, memory is usual, which a tensor's is_pinned() tells: copies then wait.
    """

    def __init__(self) -> None:
        self._batches: list[Tensor | None] = [None] * BUFFERS
        self._answers: list[Tensor | None] = [None] * BUFFERS
        self._turns = {id(self._batches): 0, id(self._answers): 0}

    @property
    def n_bytes(self) -> int:
        """Size of all buffers together."""
        return sum(buffer.nbytes for buffer in (*self._batches, *self._answers) if buffer is not None)

    def for_batch(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Room for a batch; what lay there two batches before is overwritten."""
        return self._room(self._batches, shape, dtype)

    def begin_copy(self, rows: Tensor) -> "HostCopy":
        """Queue the copy of answers right behind the work that gives them, and a mark behind the copy.

        A copy that is queued when the answers are wanted stands behind the next batch, and so the device would wait
        for the lane, and the lane for the device.
        """
        if not self.is_queue(rows):
            return HostCopy(rows, None)
        room = self._room(self._answers, rows.shape, rows.dtype)
        room.copy_(rows, non_blocking=True)
        return HostCopy(room, self.mark(rows))

    def is_queue(self, rows: Tensor) -> bool:
        """Whether the device of these answers works through a queue of its own."""
        return rows.device.type == "cuda"

    def mark(self, rows: Tensor) -> Event:
        """A mark behind everything that the answers' device has been given; who waits for it sleeps."""
        event = torch.cuda.Event(blocking=True)
        event.record(torch.cuda.current_stream(rows.device))
        return event

    def _room(self, buffers: list[Tensor | None], shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        turn = self._turns[id(buffers)] = (self._turns[id(buffers)] + 1) % BUFFERS
        wanted = prod(shape) * dtype.itemsize
        buffer = buffers[turn]
        if buffer is None or buffer.nbytes < wanted:
            buffers[turn] = None  # given back before the larger one is made
            buffer = buffers[turn] = _locked(-(-wanted // ROUNDED_TO) * ROUNDED_TO)
        return buffer[:wanted].view(dtype).view(tuple(shape))


class HostCopy:
    """Answers that are being copied into the host's memory.

    Args:
        rows: where they will lie, or lie already where there is no event.
        event: behind the copy.
    """

    def __init__(self, rows: Tensor, event: Event | None) -> None:
        self._rows = rows
        self._event = event

    def wait(self) -> Tensor:
        """The answers, in memory of their own; waits for the device.

        Raises:
            Whatever the device raises.
        """
        if self._event is None:
            return self._rows.cpu()
        self._event.synchronize()
        return self._rows.clone()


def _locked(n_bytes: int) -> Tensor:
    try:
        return torch.empty(n_bytes, dtype=torch.uint8, pin_memory=True)
    except RuntimeError:  # no page can be locked; if the device is broken, the copy to it will say so
        return torch.empty(n_bytes, dtype=torch.uint8)
