"""What argus's tiles share: a clip's tiles with what they share computed once, against tile by tile; one thread.

    python benchmarks/argus_strips.py [--repeats 3]

Both ways give a clip's answers, from cut tiles on; tile by tile means two at a time, the fastest on a CPU.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from soundpost.importers.recipe_files import template
from soundpost.inference.fuse_batch_norm import fold_batch_norms
from soundpost.inference.shared_windows import shared_logits, sharing_of
from soundpost.training.recipe_fit import make_network
from soundpost.views.batch import stack
from soundpost.views.tiles import Tiles, TilesSettings

PLAIN_BATCH = 2  # tiles at a time, the fastest on a CPU
FRAMES_PER_SECOND = 44100 / 690
SPREAD = 30.0  # how widely the last layer is drawn, without which all answers lie near one half


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = make_network(template("argus"), 80).eval().to(memory_format=torch.channels_last)
    network.fc[-1].weight.data.mul_(SPREAD)
    print("| step | seconds | tiles | CPU ms a tile, tile by tile | shared | times fewer | answers differ by |")
    print("|---|---|---|---|---|---|---|", flush=True)
    with torch.inference_mode():
        network = fold_batch_norms(network, torch.randn(1, 3, 128, 256))
        for step in (64, 128):
            for seconds in (6.0, 8.0, 12.0):
                print(_row(network, step, seconds, repeats), flush=True)


def _row(network: torch.nn.Module, step: int, seconds: float, repeats: int) -> str:
    view = Tiles(TilesSettings(step=step))
    spectrogram = (torch.randn(1, 128, round(seconds * FRAMES_PER_SECOND)) * 20 - 30).numpy()
    windows = view.windows(spectrogram.shape[-1])
    batch = stack([spectrogram] * len(windows), windows, view)

    def plain() -> Tensor:
        return torch.cat([network(_prepared(part, view))[0] for part in batch.split(PLAIN_BATCH)])

    def shared() -> Tensor:
        sharing = sharing_of(network, view, batch)
        assert sharing is not None
        return shared_logits(network, _prepared(batch, view), sharing)

    change = float((plain().sigmoid() - shared().sigmoid()).abs().max())
    turns = [(_seconds(plain), _seconds(shared)) for _ in range(repeats)]
    ratio = statistics.median(slow / fast for slow, fast in turns)
    cells = [f"{1000 * statistics.median(column) / len(windows):.0f}" for column in zip(*turns, strict=True)]
    return f"| {step} | {seconds:g} | {len(windows)} | {' | '.join(cells)} | {ratio:.2f} | {change:.1e} |"


def _prepared(batch: Tensor, view: Tiles) -> Tensor:
    return view.prepare(batch).contiguous(memory_format=torch.channels_last)


def _seconds(way: Callable[[], Tensor]) -> float:
    started = time.thread_time()
    way()
    return time.thread_time() - started


if __name__ == "__main__":
    main()
