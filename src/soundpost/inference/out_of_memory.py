"""A batch on a device that may have no room for it: halved, single windows shown in parts, the CPU asked at last.

What fits nowhere costs its own clip the answer of these networks, never that of its batch mates.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor

from soundpost.errors import sentence
from soundpost.inference.batch_model import BatchModel
from soundpost.inference.device_errors import is_ambiguous, is_out_of_memory
from soundpost.inference.devices import verify
from soundpost.inference.host_buffers import HostBuffers
from soundpost.views.view import Divisible, Finishing, View, Window


@dataclass
class MemoryLosses:
    """What lack of memory, or of range in half precision, cost a batch."""

    splits: int = 0  # how often it was halved
    tiled: int = 0  # windows that were shown in parts
    on_cpu: int = 0  # windows that the CPU answered in a GPU's place
    in_float32: int = 0  # windows computed again because half precision gave something that is not finite
    unpinned: int = 0  # batches for a GPU that no page-locked memory could be had for
    lost: dict[int, str] = field(default_factory=dict)  # windows, by their place in the batch, that fit nowhere; why
    fitted: list[int] = field(default_factory=list)  # windows x frames of each piece that had room
    failed: list[int] = field(default_factory=list)  # windows x frames of each piece that had none

    @property
    def most_frames(self) -> int | None:
        """Most windows x frames that later batches may have; None where nothing failed.

        A size that has just failed is never accepted, even if another piece of that size had room.
        """
        if not self.failed:
            return None
        smallest = min(self.failed)
        return max((size for size in self.fitted if size < smallest), default=max(1, smallest // 2))


class BatchAnswers:
    """Answers of a batch that its device may still be computing.

    Args:
        rows: (windows, ...) on the device, NaN for windows that are lost.
        model: gave them.
        view: the rule that cut the windows.
        batch: (windows, channels, bins, frames), kept until the answers have come where the model is in half precision.
        losses: what the batch has cost so far; completed by cpu().
        buffers: the lane's, into which the answers are copied as soon as the device has them.
    """

    def __init__(
        self, rows: Tensor, model: BatchModel, view: View, batch: Tensor, losses: MemoryLosses, buffers: HostBuffers
    ) -> None:
        self._copy = buffers.begin_copy(rows)
        self._exact = model.in_float32()
        self._view = view
        self._batch = None if self._exact is None else batch
        self._losses = losses

    @torch.inference_mode()
    def cpu(self) -> Tensor:
        """The answers (windows, classes), or (windows, members, classes), in the host's memory; waits for the device.

        Rows that half precision made something else than finite are computed again in float32, in any batch.

        Raises:
            Whatever the device or the network raises.
        """
        values = self._copy.wait()
        if self._exact is None or self._batch is None:
            return values
        is_finite = values.isfinite().all(dim=-1, keepdim=True)
        spoilt = [i for i in (~is_finite).flatten(1).any(dim=1).nonzero()[:, 0].tolist() if i not in self._losses.lost]
        if not spoilt:
            return values
        again = _joined(_halved(self._exact, self._view, self._batch[spoilt], MemoryLosses(), first=0))
        self._losses.in_float32 += len(spoilt)
        if again is not None:
            values[spoilt] = torch.where(is_finite[spoilt], values[spoilt], again.cpu())
        return values


def answer(
    model: BatchModel, view: View, batch: Tensor, buffers: HostBuffers | None = None
) -> tuple[BatchAnswers | None, MemoryLosses]:
    """Answers of a batch, made to fit; and what that cost.

    Args:
        model: the member or members, on their device.
        view: the rule that cut the windows.
        batch: (windows, channels, bins, frames).
        buffers: those of the lane that waits for the answers; new ones when there are none.

    Returns:
        Answers as the model gives them, NaN for windows that are lost; None when all are.

    Raises:
        Whatever the network raises that is no lack of memory.
    """
    is_unpinned = model.device.type == "cuda" and batch.device.type == "cpu" and not batch.is_pinned()
    losses = MemoryLosses(unpinned=int(is_unpinned))
    rows = _joined(_halved(model, view, batch, losses, first=0))
    if rows is None:
        return None, losses
    return BatchAnswers(rows, model, view, batch, losses, buffers or HostBuffers()), losses


def finished(batch: Tensor, windows: Sequence[Window], view: View, device: torch.device) -> Tensor:
    """Plain pieces made into windows on a device; on the CPU where the device has no room; as they are where cut.

    Args:
        batch: (windows, channels, bins, frames), stacked plain where the view can finish them.
        windows: what each is to be.
        view: the rule that cut them.
        device: the network's.

    Raises:
        Whatever the device raises that is no lack of memory.
    """
    if not isinstance(view, Finishing):
        return batch
    try:
        return view.finish(batch.to(device, non_blocking=True), windows)
    except (RuntimeError, MemoryError) as error:
        if device.type == "cpu" or not is_out_of_memory(error):
            raise
    torch.cuda.empty_cache()
    return view.finish(batch, windows)


def _joined(rows: list[Tensor | None]) -> Tensor | None:
    """Pieces of answers as one, on one device, NaN for a window that has none; None when no window has any."""
    known = next((row for row in rows if row is not None), None)
    if known is None:
        return None
    return torch.cat([torch.full_like(known[:1], torch.nan) if row is None else row.to(known) for row in rows])


def _halved(model: BatchModel, view: View, batch: Tensor, losses: MemoryLosses, first: int) -> list[Tensor | None]:
    """Answers of pieces of the batch, the first of whose windows has that place in the whole."""
    whole, problem = _tried(model, view, batch)
    size = len(batch) * batch.shape[-1]
    (losses.failed if problem else losses.fitted).append(size)
    if problem is None:
        return [whole]
    if len(batch) == 1:
        row = _alone(model, view, batch, losses, problem)
        if row is None:
            losses.lost[first] = sentence(problem)
        return [row]
    losses.splits += 1
    middle = len(batch) // 2
    return [
        *_halved(model, view, batch[:middle], losses, first),
        *_halved(model, view, batch[middle:], losses, first + middle),
    ]


def _alone(model: BatchModel, view: View, window: Tensor, losses: MemoryLosses, problem: Exception) -> Tensor | None:
    """A window that does not fit: shown in parts where it may be cut, else to the CPU; None if that does not fit."""
    in_parts = _in_parts(model, view, window)
    if in_parts is not None:
        losses.tiled += 1
        return in_parts
    _raise_if_broken(model.device, problem)
    if model.device.type == "cpu":
        return None
    losses.on_cpu += 1
    try:
        twin = model.on_cpu()
    except MemoryError:
        return None
    whole, problem_of_cpu = _tried(twin, view, window)
    return whole if problem_of_cpu is None else _alone(twin, view, window, losses, problem_of_cpu)


def _in_parts(model: BatchModel, view: View, window: Tensor) -> Tensor | None:
    """The answer of a window as the mean of those of its parts, weighted by their frames; None where none fit."""
    frames = window.shape[-1]
    for bounds in _parts(frames, view.shortest_part if isinstance(view, Divisible) else 0):
        answers = []
        for start, end in bounds:
            part, problem = _tried(model, view, window[..., start:end])
            if part is None or problem is not None:
                break
            answers.append(part * ((end - start) / frames))
        else:
            return torch.stack(answers).sum(0)
    return None


def _parts(frames: int, shortest: int) -> Iterator[tuple[tuple[int, int], ...]]:
    """Bounds of two equal parts, of four, and so on, down to the shortest; none at all when that is 0."""
    count = 2
    while shortest and frames // count >= shortest:
        yield tuple(pairwise(frames * i // count for i in range(count + 1)))
        count *= 2


def _tried(model: BatchModel, view: View, batch: Tensor) -> tuple[Tensor | None, Exception | None]:
    """Answers of a batch, or why it has no room."""
    try:
        return model(batch, view), None
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        problem = error.with_traceback(None)  # which holds the tensors of the call
    if model.device.type != "cpu":
        torch.cuda.empty_cache()
    return None, problem


def _raise_if_broken(device: torch.device, problem: Exception) -> None:
    """Raise an error again that a workspace without room and a broken library share, where the device is broken.

    The smallest piece has failed by now. A CPU has no such libraries, so there the words cannot mean its memory.
    """
    if not is_ambiguous(problem):
        return
    if device.type == "cpu":
        raise problem
    try:
        verify(device)
    except Exception as error:  # whatever a device raises at its check
        if is_ambiguous(error) or not is_out_of_memory(error):
            raise problem from error
