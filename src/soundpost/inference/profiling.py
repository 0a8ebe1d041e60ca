"""What a batch of a recipe costs, tried out before the first one: seconds and bytes for each window x frame."""

import time
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from pathlib import Path

import torch
from torch import Tensor

from soundpost.inference.device_errors import is_out_of_memory
from soundpost.inference.predictor import Predictor
from soundpost.resources.memory_monitor import return_free_memory
from soundpost.views.view import Divisible, View

SLACK = 2.0  # measured bytes are taken for so much more: allocators keep pages of batches of many shapes
GPU_SHARE = 0.8  # of the device's free memory that batches may take


@dataclass(frozen=True)
class Probed:
    """Cost of one window x frame on one lane."""

    bytes_per_frame: float  # host memory on a CPU, device memory on a GPU
    seconds_per_frame: float


@torch.inference_mode()
def probe(predictor: Predictor, view: View, shape: tuple[int, int, int]) -> Probed:
    """Cost of the windows of a clip whose spectrogram has this shape (channels, bins, frames); any numbers will do.

    The first call warms the kernels up, the second is measured. Where two such windows have no room, one is tried,
    then a part of it; where a GPU has room for none, the CPU answers in its place and is what counts.

    Raises:
        MemoryError: not even one window fits.
    """
    spectrogram = torch.arange(prod(shape), dtype=torch.float32).sin().reshape(shape)
    window = max(view.windows(shape[2]), key=lambda window: window.frames)
    batch = view.cut(spectrogram, window)[None].repeat(2, 1, 1, 1)
    on_gpu = predictor.device.type == "cuda"
    while not _has_room(predictor, view, batch):
        shorter = batch.shape[3] // 2
        if len(batch) > 1:
            batch = batch[:1]
        elif isinstance(view, Divisible) and shorter >= view.shortest_part:
            batch = batch[..., :shorter]
        elif on_gpu:
            return probe(predictor.on_cpu(), view, shape)
        else:
            raise MemoryError(
                f"{predictor.member.name}: one window of {batch.shape[3]} frames does not fit into memory"
            )
    if on_gpu:
        torch.cuda.synchronize(predictor.device)
        torch.cuda.reset_peak_memory_stats(predictor.device)
        before = torch.cuda.memory_allocated(predictor.device)
    else:
        return_free_memory()  # else what the first call left behind would serve the second unseen
        before = _reset_peak()
    started = time.perf_counter()
    predictor.rehearse(batch, view)
    if on_gpu:
        torch.cuda.synchronize(predictor.device)
        peak = torch.cuda.max_memory_allocated(predictor.device)
    else:
        peak = _peak()
    frames = len(batch) * batch.shape[3]
    least = batch.numel() * 4 * 8  # of any network: a few maps as large as its input
    return Probed(SLACK * max(peak - before, least) / frames, (time.perf_counter() - started) / frames)


def _has_room(predictor: Predictor, view: View, batch: Tensor) -> bool:
    try:
        predictor.rehearse(batch, view)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return False
    return True


def fit_worst_batch(predictor: Predictor, view: View, shape: tuple[int, int, int], budget_frames: int) -> int:
    """The largest budget up to budget_frames whose fullest batch runs on the predictor's GPU, found by running it.

    Args:
        predictor: on a GPU.
        view: of the pass.
        shape: (channels, bins, frames) of the longest spectrogram to expect.
        budget_frames: wished for; halved until the batch fits.
    """
    spectrogram = torch.zeros(shape)
    windows = view.windows(shape[2])
    longest = max(windows, key=lambda window: window.frames)
    while True:
        count = max(1, budget_frames // longest.frames)
        try:
            piece = view.cut(spectrogram, longest)[None]
            predictor.rehearse(piece.expand(count, *piece.shape[1:]), view)
            torch.cuda.synchronize(predictor.device)
            return budget_frames
        except (RuntimeError, MemoryError) as error:
            torch.cuda.empty_cache()
            if not is_out_of_memory(error) or count == 1:
                return budget_frames
            budget_frames //= 2


def _reset_peak() -> int:
    """Set the process's peak of resident memory back to what is resident now, and tell it in bytes."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _peak() -> int:
    return _status("VmHWM")


def _status(key: str) -> int:
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(key + ":"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0
