"""Networks by torch, ONNX Runtime and OpenVINO: CPU ms a window on one core, in turns, and how far they differ.

    python benchmarks/backends.py [--repeats 5] [--windows 2] [--only compact,argus] [--write]
    python benchmarks/backends.py --lanes 2 [--only tf_efficientnetv2_s]

The first prints the table of docs/onnx.md, and with --write puts it there, between the lines that name this file. The
second shows what the kit's one session for all lanes (of OpenVINO with a copy for each) and one for each lane take: all
lanes at work at once on batches of --windows windows.

Needs the extra [onnx]. The networks of timm, where it is installed, have random weights and one input channel; a window
is 128 bands x 320 frames. The kit's own have the sizes of their recipes. Each network is what a run computes: in
evaluation mode, its batch norms folded, standardised weights made once, torch's in channels-last memory. Times are
medians of this process's CPU seconds, as a runtime may compute in a thread of its own; the ratio is torch's median over
the runtime's. A difference is the largest one of a probability over all windows, as a run measures it.
"""

import argparse
import importlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from torch import Tensor, nn

from soundpost.errors import KitError
from soundpost.graph_export.onnx_export import export_network
from soundpost.importers.recipe_files import template
from soundpost.inference.backends.choice import BOUND
from soundpost.inference.backends.graph_network import GraphNetwork
from soundpost.inference.backends.graph_settings import GraphSettings
from soundpost.inference.backends.opening import open_session, usable
from soundpost.inference.fuse_batch_norm import fold_batch_norms, logits_of
from soundpost.inference.standing_weights import stand_weights
from soundpost.models import MODELS
from soundpost.registry import build
from soundpost.resources.memory import peak_memory, reset_peak_memory, return_free_memory

N_CLASSES = 80
TIMM = ("efficientnet_b0", "hgnetv2_b0", "eca_nfnet_l0", "tf_efficientnetv2_s")
TIMM_WINDOW = (1, 128, 320)
PAGE = Path(__file__).resolve().parents[1] / "docs" / "onnx.md"
BEGIN, END = "<!-- benchmarks/backends.py: begin -->\n", "<!-- benchmarks/backends.py: end -->\n"
WAYS = ("as the kit opens it", "one for each lane")


def own(name: str) -> tuple[nn.Module, tuple[int, int, int]]:
    """A network of the kit and a window (channels, bins, frames) of its recipe."""
    if name == "compact":
        return build(MODELS, "compact", {}, "model", N_CLASSES), (1, 64, 320)
    model = template("argus")["model"]
    return build(MODELS, model["name"], model, "model", N_CLASSES), (3, 128, 256)


def foreign(name: str) -> tuple[nn.Module, tuple[int, int, int]]:
    """A network of timm and a window."""
    timm = importlib.import_module("timm")
    return timm.create_model(name, pretrained=False, in_chans=1, num_classes=N_CLASSES), TIMM_WINDOW


def lifelike(network: nn.Module, windows: Tensor) -> nn.Module:
    """Evaluation mode, with batch norms' statistics of these windows instead of those of no data at all."""
    network.train()
    with torch.no_grad():
        for _ in range(3):
            network(windows)
    return network.eval()


@torch.inference_mode()
def measure(name: str, made: tuple[nn.Module, tuple[int, int, int]], repeats: int, count: int) -> str:
    """One row of the table."""
    network, shape = made
    windows = torch.randn(max(2, count), *shape, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode(False):
        network = lifelike(network, windows.clone())
    graph = export_network(network, [windows.clone(), windows[..., : shape[2] // 2].clone()], name)
    windows = windows[:count]
    standing = stand_weights(network.to(memory_format=torch.channels_last), windows[:1])
    folded = fold_batch_norms(standing, windows[:1])

    def by_torch(batch: Tensor) -> Tensor:
        return logits_of(folded(batch.contiguous(memory_format=torch.channels_last)))

    ways: dict[str, Any] = {"torch": by_torch}
    for runtime in usable():
        ways[runtime] = GraphNetwork(open_session(runtime, graph), GraphSettings(), N_CLASSES, len(graph))
    answers = {way: function(windows).sigmoid() for way, function in ways.items()}
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(repeats):
        for way, function in ways.items():
            started = time.process_time()
            function(windows)
            taken[way].append(1e3 * (time.process_time() - started) / count)
    medians = {way: statistics.median(seconds) for way, seconds in taken.items()}
    cells = [f"| {name} | {'x'.join(map(str, shape))} | {medians.pop('torch'):.1f}"]
    for way, median in medians.items():
        difference = float((answers[way] - answers["torch"]).abs().max())
        note = "" if difference <= BOUND else " (not taken)"
        cells.append(f"{median:.1f} | {statistics.median(taken['torch']) / median:.2f} | {difference:.0e}{note}")
    return " | ".join(cells) + " |"


def lanes_row(runtime: str, path: Path, way: str, lanes: int, repeats: int, windows: tuple[int, ...]) -> str:
    """Memory and time of sessions for so many lanes, in this process; another one may have left something behind."""
    graph = path.read_bytes()
    importlib.import_module(runtime)
    return_free_memory()
    before = psutil.Process().memory_info().rss
    reset_peak_memory()
    if way == WAYS[0]:
        sessions = [open_session(runtime, graph, lanes)] * lanes
    else:
        sessions = [open_session(runtime, graph, 1) for _ in range(lanes)]
    opening = peak_memory() - before
    inputs = {sessions[0].inputs[0].name: np.random.default_rng(0).normal(size=windows).astype(np.float32)}

    def work(lane: int, count: int = repeats) -> None:
        for _ in range(count):
            sessions[lane].run(inputs, [sessions[lane].outputs[0].name])

    with ThreadPoolExecutor(lanes) as pool:
        list(pool.map(lambda lane: work(lane, 1), range(lanes)))
        return_free_memory()
        kept = psutil.Process().memory_info().rss - before
        rounds = [_round(lambda: list(pool.map(work, range(lanes)))) for _ in range(3)]
    shown = lanes * repeats * windows[0]
    wall, cpu = (min(seconds) for seconds in zip(*rounds, strict=True))
    cells = (f"{opening / 1e6:.0f}", f"{kept / 1e6:.0f}", f"{shown / wall:.1f}", f"{1e3 * cpu / shown:.1f}")
    return f"| {path.stem} | {len(graph) / 1e6:.0f} | {runtime} | {way} | {' | '.join(cells)} |"


def _round(work: Callable[[], object]) -> tuple[float, float]:
    started = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - started[0], time.process_time() - started[1]


@torch.inference_mode()
def lanes_table(names: list[str], lanes: int, repeats: int, count: int) -> None:
    """Print what sessions take, a process for each row."""
    print("| network | file MB | runtime | sessions | opening MB | kept MB | windows/s | CPU ms a window |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            network, shape = foreign(name) if name in TIMM else own(name)
            graph = Path(folder) / f"{name}.onnx"
            graph.write_bytes(export_network(network.eval(), [torch.randn(2, *shape)], name))
            for runtime in usable():
                for way in WAYS:
                    words = [runtime, str(graph), way, str(lanes), str(repeats), "x".join(map(str, (count, *shape)))]
                    done = subprocess.run(
                        [sys.executable, __file__, "--row", *words], stdout=subprocess.PIPE, text=True, check=False
                    )
                    print(done.stdout.strip() or f"{name} {runtime} {way}: status {done.returncode}", flush=True)


def main() -> None:
    """Print a table, a row as soon as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="of each way, in turns (5)")
    parser.add_argument("--windows", type=int, default=2, help="in a batch (2)")
    parser.add_argument("--only", default="", help="networks, with commas")
    parser.add_argument("--before", default="", help="a module to import first, such as one that makes timm importable")
    parser.add_argument("--lanes", type=int, default=0, help="show sessions for so many lanes instead")
    parser.add_argument("--write", action="store_true", help="put the table into docs/onnx.md")
    parser.add_argument("--row", nargs=6, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.row:
        runtime, path, way, lanes, repeats, windows = given.row
        print(lanes_row(runtime, Path(path), way, int(lanes), int(repeats), tuple(map(int, windows.split("x")))))
        return
    torch.set_num_threads(1)
    if given.before:
        importlib.import_module(given.before)
    with redirect_stdout(sys.stderr), suppress(ImportError):  # what its packages say of each other is no row
        importlib.import_module("timm")
    names = given.only.split(",") if given.only else [*TIMM, "compact", "argus"]
    if given.lanes:
        lanes_table(names, given.lanes, given.repeats, given.windows)
        return
    runtimes = usable()
    rows = [
        "| network | window | torch ms |" + "".join(f" {name} ms | times torch | differs by |" for name in runtimes),
        "|---|---|---|" + "---|---|---|" * len(runtimes),
    ]
    print("\n".join(rows), flush=True)
    for name in names:
        try:
            made = foreign(name) if name in TIMM else own(name)
            rows.append(measure(name, made, given.repeats, given.windows))
            print(rows[-1], flush=True)
        except (ImportError, RuntimeError, KitError) as error:
            print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
    if given.write:
        head, rest = PAGE.read_text("utf-8").split(BEGIN)
        PAGE.write_text(head + BEGIN + "\n" + "\n".join(rows) + "\n\n" + END + rest.split(END)[1], "utf-8")


if __name__ == "__main__":
    main()
