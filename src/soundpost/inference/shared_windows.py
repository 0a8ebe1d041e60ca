"""Overlapping windows of a clip through a network that computes what they share only once.

A network tells by `stages` how far it can be shared, a view by `prepare_reach` that its windows show a clip's frames
unchanged. Which windows overlap is read off their numbers, so that nothing that differs can ever be shared.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from soundpost.functional.strips import Run, Stage, laid, maps_of_run, worth_sharing
from soundpost.inference.fuse_batch_norm import logits_of
from soundpost.views.view import Overlapping, View

GROUP_WINDOWS = 8  # a lane on a CPU should have room for so many that overlap
LONE_WINDOWS = 2  # windows that overlap with no other come so few at once: a batch that shares is a large one


@runtime_checkable
class SharesStages(Protocol):
    """A network whose first stages see near frames alone."""

    @property
    def stages(self) -> tuple[Stage, ...]:
        """These stages, in order."""
        ...

    def entrance(self, batch: Tensor) -> Tensor:
        """What the first stage takes of prepared windows, column by column."""
        ...

    def after_stages(self, maps: Sequence[Tensor]) -> Any:
        """What the network gives, from the outputs of all stages."""
        ...


@dataclass(frozen=True)
class Sharing:
    """What the windows of one batch have in common."""

    runs: tuple[Run, ...]  # in the order of the batch
    margin: int  # frames at each end of a window that its view prepares in another way

    @property
    def overlapping(self) -> int:
        """How many windows of the batch overlap with another one."""
        return sum(run.count for run in self.runs)

    @property
    def longest(self) -> Run:
        """The run of the most windows, where there is any."""
        return max(self.runs, key=lambda run: run.count)


def can_share(model: nn.Module, view: View, device: torch.device) -> bool:
    """Whether a network shares what the windows of a view have in common.

    On a GPU it does not: every length of a strip would be a new shape there.
    """
    return (
        device.type == "cpu"
        and isinstance(model, SharesStages)
        and not model.training
        and isinstance(view, Overlapping)
    )


def sharing_of(model: nn.Module, view: View, batch: Tensor) -> Sharing | None:
    """Which windows of a batch go on as the one before them does; None where the network shares nothing.

    Args:
        model: on the CPU if it is to share anything.
        view: cut the windows.
        batch: (windows, channels, bins, frames) before they are prepared.
    """
    if not can_share(model, view, batch.device):
        return None
    assert isinstance(model, SharesStages)
    assert isinstance(view, Overlapping)
    frames, margin, edge = batch.shape[-1], view.prepare_reach, view.edge
    steps = [step for step in range(1, frames) if worth_sharing(model.stages, frames, step, margin)]
    runs: list[Run] = []
    windows = batch.numpy()
    for place in range(1, len(windows)):
        last = runs[-1] if runs and runs[-1].first + runs[-1].count == place else None
        step = _step(windows[place - 1], windows[place], [last.step] if last else steps, edge)
        if step and last:
            runs[-1] = Run(last.first, last.count + 1, step)
        elif step:
            runs.append(Run(place - 1, 2, step))
    return Sharing(tuple(runs), margin)


def shared_logits(model: nn.Module, inputs: Tensor, sharing: Sharing) -> Tensor:
    """Logits (windows, classes) of prepared windows, those of each run together, the others a few at a time.

    Args:
        model: keeps SharesStages.
        inputs: as View.prepare makes them.
        sharing: what the windows of the batch have in common.
    """
    assert isinstance(model, SharesStages)
    parts: list[Tensor] = []
    done = 0
    for run in (*sharing.runs, Run(len(inputs), 0, 0)):
        if done < run.first:
            parts += [logits_of(model(lone)) for lone in inputs[done : run.first].split(LONE_WINDOWS)]
        done = run.first + run.count
        if run.count:
            windows = laid(model.entrance(inputs[run.first : done]))
            maps = maps_of_run(model.stages, windows, run.step, sharing.margin)
            parts.append(logits_of(model.after_stages(maps)))
    return torch.cat(parts)


def frames_of_group(view: View, frames: int, count: int = GROUP_WINDOWS) -> int:
    """How many frames of a clip so many neighbouring windows show, each frame counted once.

    Args:
        view: cuts the windows.
        frames: length of a clip that is long enough to have several.
        count: how many windows.
    """
    length, step = _length_and_step(view, frames)
    return length + (count - 1) * step


def frames_in_room(view: View, frames: int, room: int) -> int:
    """Windows x frames of neighbours that show at most so many frames, each counted once; one window's at least.

    Args:
        view: cuts the windows.
        frames: length of a clip that is long enough to have several.
        room: frames.
    """
    length, step = _length_and_step(view, frames)
    return length * (1 + max(0, room - length) // step)


def _length_and_step(view: View, frames: int) -> tuple[int, int]:
    """Frames of the longest window of a clip, and from one to the next; none is shared where there is one alone."""
    windows = view.windows(frames)
    length = max(window.frames for window in windows)
    return length, min(length, view.shared_step) if len(windows) > 1 and isinstance(view, Overlapping) else length


def _step(before: np.ndarray, after: np.ndarray, steps: Sequence[int], edge: int) -> int:
    """By how many frames a window (channels, bins, frames) goes on after another; 0 where it does not.

    So many frames at the ends of both may be anything.
    """
    middle, stop = before.shape[1] // 2, before.shape[2] - edge
    for step in steps:
        if before[0, middle, step + edge] == after[0, middle, edge] and np.array_equal(
            before[..., step + edge : stop], after[..., edge : stop - step]
        ):
            return step
    return 0
