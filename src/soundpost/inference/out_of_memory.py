"""A batch on a device that may have no room for it: halved, single windows shown in parts, the CPU asked at last.

What fits nowhere costs its own clip the answer of these networks, never that of its batch mates.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor

from soundpost.errors import sentence
from soundpost.inference.device_errors import is_out_of_memory
from soundpost.inference.fold_group import Team
from soundpost.inference.predictor import Predictor
from soundpost.views.view import Divisible, View


@dataclass
class Toll:
    """What want of memory cost a batch."""

    splits: int = 0  # how often it was halved
    fitting_frames: int = 0  # windows x frames of the largest piece that had room
    tiled: int = 0  # windows that were shown in parts
    on_cpu: int = 0  # windows that the CPU answered in a GPU's place
    lost: dict[int, str] = field(default_factory=dict)  # windows, by their place in the batch, that fit nowhere; why


def answer(predictor: Predictor | Team, view: View, batch: Tensor) -> tuple[Tensor | None, Toll]:
    """Answers of a batch, made to fit; and what that cost.

    Args:
        predictor: of the member or members, on their device.
        view: the rule that cut the windows.
        batch: (windows, channels, bins, frames).

    Returns:
        (windows, ...) as the predictor gives them, NaN for windows that are lost; None when all are.

    Raises:
        Whatever the network raises that is no want of memory.
    """
    toll = Toll()
    rows = _halved(predictor, view, batch, toll, first=0)
    known = next((row for row in rows if row is not None), None)
    if known is None:
        return None, toll
    return torch.cat([torch.full_like(known[:1], torch.nan) if row is None else row.to(known) for row in rows]), toll


def _halved(predictor: Predictor | Team, view: View, batch: Tensor, toll: Toll, first: int) -> list[Tensor | None]:
    """Answers of pieces of the batch, the first of whose windows has that place in the whole."""
    whole, reason = _tried(predictor, view, batch)
    if whole is not None:
        toll.fitting_frames = max(toll.fitting_frames, len(batch) * batch.shape[-1])
        return [whole]
    if len(batch) == 1:
        row = _alone(predictor, view, batch, toll)
        if row is None:
            toll.lost[first] = reason
        return [row]
    toll.splits += 1
    middle = len(batch) // 2
    return [
        *_halved(predictor, view, batch[:middle], toll, first),
        *_halved(predictor, view, batch[middle:], toll, first + middle),
    ]


def _alone(predictor: Predictor | Team, view: View, window: Tensor, toll: Toll) -> Tensor | None:
    """A window that does not fit: shown in parts where it may be cut, else to the CPU; None if that does not fit."""
    for bounds in _parts(window.shape[-1], view.shortest_part if isinstance(view, Divisible) else 0):
        answers = []
        for start, end in bounds:
            part, _ = _tried(predictor, view, window[..., start:end])
            if part is None:
                break
            answers.append(part * ((end - start) / window.shape[-1]))
        else:
            toll.tiled += 1
            return torch.stack(answers).sum(0)
    if predictor.device.type == "cpu":
        return None
    toll.on_cpu += 1
    whole, _ = _tried(predictor.on_cpu(), view, window)
    return _alone(predictor.on_cpu(), view, window, toll) if whole is None else whole


def _parts(frames: int, shortest: int) -> Iterator[tuple[tuple[int, int], ...]]:
    """Bounds of two equal parts, of four, and so on, down to the shortest; none at all when that is 0."""
    count = 2
    while shortest and frames // count >= shortest:
        yield tuple(pairwise(frames * i // count for i in range(count + 1)))
        count *= 2


def _tried(predictor: Predictor | Team, view: View, batch: Tensor) -> tuple[Tensor | None, str]:
    """Answers of a batch, or why it has no room."""
    try:
        return predictor(batch, view), ""
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        reason = sentence(error)
    if predictor.device.type != "cpu":
        torch.cuda.empty_cache()
    return None, reason
