"""What a batch of a recipe costs, tried out before the first one: seconds and bytes for each window x frame."""

import time
from dataclasses import dataclass
from math import inf, prod

import torch
from torch import Tensor

from soundpost.inference.device_errors import is_ambiguous, is_out_of_memory
from soundpost.inference.predictor import Predictor
from soundpost.resources.memory import peak_memory, reset_peak_memory, return_free_memory
from soundpost.resources.memory_budget import LANE_BYTES, PROBE_SLACK
from soundpost.views.view import Divisible, View

ENOUGH_WINDOWS = 8  # In a batch, so many make good what a call costs.
TRIED_SECONDS = 0.5  # the most that the larger of two tried batches takes
PAYING_SHARE = 0.93  # the most that larger batches may take, over the seconds of small ones


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
        Whatever the network or the device raises that is no lack of memory.
    """
    spectrogram = torch.arange(prod(shape), dtype=torch.float32).sin().reshape(shape)
    batch: Tensor | None = _longest(view, spectrogram)[None].repeat(2, 1, 1, 1)
    on_gpu = predictor.device.type == "cuda"
    while batch is not None and (problem := _problem(predictor, view, batch)):
        smaller = batch[:1] if len(batch) > 1 else _half(view, batch)
        if smaller is None and is_ambiguous(problem):  # the least piece fails as well: this is no lack of memory
            raise problem
        if smaller is None and not on_gpu:
            raise MemoryError(
                f"{predictor.member.name}: one window of {batch.shape[3]} frames does not fit into memory"
            ) from problem
        batch = smaller
    if batch is None:
        return probe(predictor.on_cpu(), view, shape)
    if on_gpu:
        torch.cuda.synchronize(predictor.device)
        torch.cuda.reset_peak_memory_stats(predictor.device)
        before = torch.cuda.memory_allocated(predictor.device)
    else:
        return_free_memory()  # else what the first call left behind would serve the second unseen
        before = reset_peak_memory()
    started = time.perf_counter()
    predictor.rehearse(batch, view)
    if on_gpu:
        torch.cuda.synchronize(predictor.device)
        peak = torch.cuda.max_memory_allocated(predictor.device)
    else:
        peak = peak_memory()
    frames = len(batch) * batch.shape[3]
    least = batch.numel() * 4 * 8  # bytes that any network takes: a few maps as large as its input
    return Probed(PROBE_SLACK * max(peak - before, least) / frames, (time.perf_counter() - started) / frames)


@torch.inference_mode()
def paying_bytes(predictor: Predictor, view: View, shape: tuple[int, int, int], probed: Probed, most: int) -> int:
    """How many bytes a batch on a core may take: LANE_BYTES, or up to `most` where larger batches are quicker.

    Batches that stay near a core's cache are quicker for small networks. A network of which only a few windows are so
    small pays for every layer anew with each of them, so that it is tried out with more.

    Args:
        predictor: on a CPU, probed already.
        view: the pass's.
        shape: (channels, bins, frames) of a spectrogram, as it was probed with.
        probed: what a window x frame costs.
        most: bytes.
    """
    window = _longest(view, torch.arange(prod(shape), dtype=torch.float32).sin().reshape(shape))[None]
    window_bytes = probed.bytes_per_frame * window.shape[3]
    few = max(1, int(LANE_BYTES / window_bytes))
    many = int(min(most / window_bytes, TRIED_SECONDS / (probed.seconds_per_frame * window.shape[3])))
    if few >= ENOUGH_WINDOWS or many < 2 * few:
        return LANE_BYTES
    quickest = dict.fromkeys((few, many), inf)
    for _ in range(3):  # the first time of each makes its kernels
        for windows in quickest:
            batch = window.repeat(windows, 1, 1, 1)
            started = time.perf_counter()
            predictor.rehearse(batch, view)
            quickest[windows] = min(quickest[windows], (time.perf_counter() - started) / windows)
    pays = quickest[many] < PAYING_SHARE * quickest[few]
    return int(many * window_bytes) + 1 if pays else LANE_BYTES


def fit_worst_batch(predictor: Predictor, view: View, shape: tuple[int, int, int], budget_frames: int) -> int:
    """The largest budget up to budget_frames whose fullest batch runs on the predictor's GPU, found by running it.

    A size that has failed is never the answer. Where one longest window has no room, its halves are tried where the
    view may be shown in parts; else single windows, which cannot be halved, are all that later batches hold.

    Args:
        predictor: on a GPU.
        view: the pass's.
        shape: (channels, bins, frames) of the longest spectrogram to expect.
        budget_frames: wished for; halved until the batch fits.

    Raises:
        Whatever the network or the device raises that is no lack of memory.
    """
    piece: Tensor | None = _longest(view, torch.zeros(shape))[None]
    while piece is not None:
        count = max(1, budget_frames // piece.shape[-1])
        problem = _problem(predictor, view, piece.expand(count, *piece.shape[1:]))
        if problem is None:
            return budget_frames
        failed = count * piece.shape[-1]
        budget_frames = max(1, min(budget_frames, failed) // 2)
        if count == 1:
            piece = _half(view, piece)
            if piece is None and is_ambiguous(problem):  # the least piece fails as well: this is no lack of memory
                raise problem
    return budget_frames


def _longest(view: View, spectrogram: Tensor) -> Tensor:
    """The longest window of a clip, cut."""
    return view.cut(spectrogram, max(view.windows(spectrogram.shape[-1]), key=lambda window: window.frames))


def _half(view: View, window: Tensor) -> Tensor | None:
    """The first half of one window (1, channels, bins, frames); None where the view's windows cannot be so short."""
    shorter = window.shape[3] // 2
    return window[..., :shorter] if isinstance(view, Divisible) and shorter >= view.shortest_part else None


def _problem(predictor: Predictor, view: View, batch: Tensor) -> Exception | None:
    """Why a batch has no room; None when it has."""
    try:
        predictor.rehearse(batch, view)
        if predictor.device.type == "cuda":
            torch.cuda.synchronize(predictor.device)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        problem = error.with_traceback(None)  # which holds the tensors of the call
    else:
        return None
    if predictor.device.type == "cuda":
        torch.cuda.empty_cache()
    return problem
