"""Networks by torch, ONNX Runtime and OpenVINO: CPU ms a window on one core, in turns, and how far they differ.

    python benchmarks/backends.py [--repeats 5] [--windows 2] [--only compact,argus]

Needs the extra [onnx]. The networks of timm, where it is installed, have random weights and one input channel; a window
is 128 bands x 320 frames. The kit's own have the sizes of their recipes. Each network is what a run computes: in
evaluation mode, its batch norms folded, torch's in channels-last memory. Times are medians of this thread's own
seconds; the ratio is torch's median over the runtime's. A difference is the largest one of a probability over all
windows, as a run measures it.
"""

import argparse
import importlib
import statistics
import sys
import time
from typing import Any

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
from soundpost.models import MODELS
from soundpost.registry import build

N_CLASSES = 80
TIMM = ("efficientnet_b0", "hgnetv2_b0", "eca_nfnet_l0", "tf_efficientnetv2_s")
TIMM_WINDOW = (1, 128, 320)


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
    folded = fold_batch_norms(network.to(memory_format=torch.channels_last), windows[:1])

    def by_torch(batch: Tensor) -> Tensor:
        return logits_of(folded(batch.contiguous(memory_format=torch.channels_last)))

    ways: dict[str, Any] = {"torch": by_torch}
    for runtime in usable():
        ways[runtime] = GraphNetwork(open_session(runtime, graph), GraphSettings(), N_CLASSES, len(graph))
    answers = {way: function(windows).sigmoid() for way, function in ways.items()}
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(repeats):
        for way, function in ways.items():
            started = time.thread_time()
            function(windows)
            taken[way].append(1e3 * (time.thread_time() - started) / count)
    medians = {way: statistics.median(seconds) for way, seconds in taken.items()}
    cells = [f"| {name} | {'x'.join(map(str, shape))} | {medians.pop('torch'):.1f}"]
    for way, median in medians.items():
        difference = float((answers[way] - answers["torch"]).abs().max())
        note = "" if difference <= BOUND else " (not taken)"
        cells.append(f"{median:.1f} | {statistics.median(taken['torch']) / median:.2f} | {difference:.0e}{note}")
    return " | ".join(cells) + " |"


def main() -> None:
    """Print the table, a row as soon as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="of each way, in turns (5)")
    parser.add_argument("--windows", type=int, default=2, help="in a batch (2)")
    parser.add_argument("--only", default="", help="networks, with commas")
    parser.add_argument("--before", default="", help="a module to import first, such as one that makes timm importable")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.before:
        importlib.import_module(given.before)
    names = given.only.split(",") if given.only else [*TIMM, "compact", "argus"]
    runtimes = usable()
    print("| network | window | torch ms |" + "".join(f" {name} ms | times torch | differs by |" for name in runtimes))
    print("|---|---|---|" + "---|---|---|" * len(runtimes))
    for name in names:
        try:
            made = foreign(name) if name in TIMM else own(name)
            print(measure(name, made, given.repeats, given.windows), flush=True)
        except (ImportError, RuntimeError, KitError) as error:
            print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
