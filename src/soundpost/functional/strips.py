"""Windows that overlap laid side by side as one strip, through the first layers of a network that sees a few frames.

A window ends in the middle of what the strip goes on with: near its ends, convolutions see zeros there that the strip
does not have. Those columns are computed anew, from the window's own ends; all others are cut from the strip.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Stage:
    """A part of a network that is a function of near columns alone, with zeros beyond the ends."""

    layer: Callable[[Tensor], Tensor]  # (batch, channels, ..., frames) -> (batch, channels, ..., frames // stride);
    # a rest of the frames that fills no column is seen by the last one alone
    reach: int  # columns of its input to each side that an output column depends on
    stride: int  # columns of its input for each column of its output


@dataclass(frozen=True)
class Run:
    """Windows of one batch of which each goes on as the one before it does, some frames later."""

    first: int  # place of the first one in the batch
    count: int  # how many
    step: int  # frames from one to the next


def worth_sharing(stages: Sequence[Stage], frames: int, step: int, margin: int) -> int:
    """How many stages, from the first on, take fewer columns over a strip than window by window.

    Args:
        stages: in order, each fed by the one before.
        frames: columns of a window.
        step: columns from one window to the next.
        margin: columns at each end of a window that differ from those of the strip.
    """
    if frames - step < 2 * margin:
        return 0
    for number, stage in enumerate(stages):
        margin, needed = _edges(stage, margin)
        if step % stage.stride or step + 2 * (needed + frames % stage.stride) >= frames:
            return number
        frames, step = frames // stage.stride, step // stage.stride
    return len(stages)


def maps_of_run(stages: Sequence[Stage], windows: Tensor, step: int, margin: int) -> list[Tensor]:
    """What every stage gives for every window of a run, as if each went through them by itself.

    Args:
        stages: in order, each fed by the one before.
        windows: (windows, channels, ..., frames), at least two.
        step: frames from one to the next.
        margin: columns at each end of a window that differ from what a neighbour shows of the same frames.

    Returns:
        For each stage (windows, channels, ..., columns).
    """
    frames = windows.shape[-1]
    n_shared = worth_sharing(stages, frames, step, margin)
    strip = laid(_strip(windows, step)) if n_shared else windows
    maps: list[Tensor] = []
    inputs = windows
    for stage in stages[:n_shared]:
        margin, needed = _edges(stage, margin)
        needed += frames % stage.stride  # so that what is cut off at the end begins with a whole column
        heads, tails = inputs[1:, ..., :needed], inputs[:-1, ..., -needed:]
        ends = stage.layer(laid(torch.cat([heads, tails])))
        strip = stage.layer(strip)
        frames, step = frames // stage.stride, step // stage.stride
        inputs = laid(torch.cat([strip[..., step * i : step * i + frames] for i in range(len(windows))]))
        inputs[1:, ..., :margin] = ends[: len(heads), ..., :margin]
        inputs[:-1, ..., -margin:] = ends[len(heads) :, ..., -margin:]
        maps.append(inputs)
    for stage in stages[n_shared:]:
        maps.append(stage.layer(maps[-1] if maps else windows))
    return maps


def laid(batch: Tensor) -> Tensor:
    """The same in the layout that convolutions over planes are fastest in."""
    return batch.contiguous(memory_format=torch.channels_last) if batch.dim() == 4 else batch.contiguous()


def _strip(windows: Tensor, step: int) -> Tensor:
    """All frames of a run once, (1, channels, ..., frames); each seam lies in the middle of what two windows share."""
    seam = (windows.shape[-1] + step) // 2
    inner = [window[..., seam - step : seam] for window in windows[1:-1]]
    return torch.cat([windows[0, ..., :seam], *inner, windows[-1, ..., seam - step :]], -1)[None]


def _edges(stage: Stage, margin: int) -> tuple[int, int]:
    """Columns of the output that differ from the strip's, and of the input that these are computed from."""
    out = -(-(margin + stage.reach) // stage.stride)
    needed = stage.stride * out + stage.reach
    return out, -(-needed // stage.stride) * stage.stride
