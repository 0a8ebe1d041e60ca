"""Other ways through argus's network on a device: layouts, precisions, what a launch and a new shape cost."""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import psutil
import torch
from gpu_networks import batch_of, predictor_of, wait
from torch import Tensor

from soundpost.inference.fuse_batch_norm import CONVOLUTIONS
from soundpost.views.whole import Whole, WholeSettings

REPEATS = 5
Call = Callable[[], Tensor]


@contextmanager
def tf32() -> Iterator[None]:
    """Products of float32 in the ten bits of TF32, as far as the device has units for it."""
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False


@torch.inference_mode()
def ways(name: str, small: bool) -> dict[str, Any]:
    """Milliseconds a window of each layout and precision, and of the launch alone, by the size of the batch."""
    kind = "ex4sperans_2d" if small else "argus"
    sizes = (2,) if small else (1, 8, 64, 256)
    return {f"{kind}, ms a window in batches of {windows}": _ways_of(kind, windows, name) for windows in sizes}


def _ways_of(kind: str, windows: int, name: str) -> dict[str, str]:
    batch, view = batch_of(kind, windows)
    kit = predictor_of(kind, name, "float16")
    inputs = kit.prepare(batch, view)
    half = kit.in_half(inputs)  # which folds the network as well
    exact = kit.in_float32()
    assert exact is not None
    flat, plain = deepcopy(exact.model).to(memory_format=torch.contiguous_format), inputs.contiguous()
    half_flat = deepcopy(half).to(memory_format=torch.contiguous_format)
    calls: dict[str, Call] = {
        "float32, channels_last": lambda: kit.through(exact.model, inputs, False),
        "float32, contiguous": lambda: kit.through(flat, plain, False),
        "float16, channels_last": lambda: kit.through(half, inputs, True),
        "float16, contiguous": lambda: kit.through(half_flat, plain, True),
    }
    row = {way: f"{1000 * seconds(call, name) / windows:.3f}" for way, call in calls.items()}
    with tf32():
        row["tf32, channels_last"] = f"{1000 * seconds(calls['float32, channels_last'], name) / windows:.3f}"
    row["launch alone, float16"] = f"{1000 * launch_seconds(calls['float16, channels_last'], name) / windows:.3f}"
    return row


@torch.inference_mode()
def shapes(name: str, small: bool) -> dict[str, Any]:
    """What a length costs that was never seen, against the same one again; a view of whole clips meets many."""
    precisions = ("float32",) if name == "cpu" else ("float32", "float16")
    return {precision: _shapes_in(precision, name, 3 if small else 120) for precision in precisions}


def _shapes_in(precision: str, name: str, count: int) -> dict[str, Any]:
    view = Whole(WholeSettings())
    batch, _ = batch_of("ex4sperans_2d", 1)
    kit = predictor_of("ex4sperans_2d", name, precision)
    network = kit.in_half(kit.prepare(batch, view))
    layers = sum(isinstance(module, CONVOLUTIONS) for module in network.modules())

    def call(frames: int) -> float:
        inputs = kit.prepare(torch.zeros(1, *batch.shape[1:3], frames), view)
        return seconds(lambda: kit.through(network, inputs, kit.half is not None), name, repeats=1, warm=0)

    call(batch.shape[3])
    before, lengths = psutil.Process().memory_info().rss, [201 + 5 * i for i in range(count)]
    new = [call(frames) for frames in lengths]
    grown = psutil.Process().memory_info().rss - before
    again = [call(frames) for frames in lengths]
    cost = statistics.median(new) - statistics.median(again)
    return {
        "ms, new length": f"{1000 * statistics.median(new):.2f}",
        "ms, same again": f"{1000 * statistics.median(again):.2f}",
        "convolutions": layers,
        "ms a new convolution": f"{1000 * cost / layers:.3f}",
        "host kB a new convolution": f"{grown / 1000 / count / layers:.0f}",
    }


def seconds(call: Call, name: str, repeats: int = REPEATS, warm: int = 2) -> float:
    """Median of a call to its end on the device."""
    for _ in range(warm):
        call()
    taken = []
    for _ in range(repeats):
        wait(name)
        started = time.perf_counter()
        call()
        wait(name)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def launch_seconds(call: Call, name: str) -> float:
    """Median of what the host is kept by a call that the device is still at."""
    taken = []
    for _ in range(REPEATS):
        wait(name)
        started = time.perf_counter()
        call()
        taken.append(time.perf_counter() - started)
    wait(name)
    return statistics.median(taken)
