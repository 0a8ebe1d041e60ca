"""What argus's tiles share: blocks computed once over a clip and cut, against tile by tile; CPU ms a tile, one thread.

    python benchmarks/argus_strips.py [--repeats 3]

A tile's first and last columns are its own, because convolutions see zeros beyond them and derivatives end there: of
each block's output E columns at each side. They are computed from the W columns next to that side, the rest is cut from
one long strip. What follows the first blocks is computed tile by tile. Maps differ by a part of their largest value.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from soundpost.functional.deltas import with_derivatives
from soundpost.importers.recipe_files import template
from soundpost.inference.fuse_batch_norm import fold_batch_norms
from soundpost.training.recipe_fit import make_network

TILE = 256  # frames
E = 3  # columns of a block's output: 4 of derivatives or 3 before it, and two convolutions, halved and rounded up
W = 8  # columns of a block's input that reach so far
SLOPE = 4  # frames that derivatives see to each side
PLAIN_BATCH = 2  # tiles at a time, the fastest on a CPU


def plain(network: nn.Module, strip: Tensor, step: int) -> Tensor:
    """Logits of every tile, each for itself."""
    return torch.cat([network(_ready(part))[0] for part in tiles_of(strip, step).split(PLAIN_BATCH)])


def tiles_of(strip: Tensor, step: int) -> Tensor:
    """(tiles, 1, mels, TILE) of a strip (1, 1, mels, frames) that they fill."""
    return strip.unfold(3, TILE, step)[0, 0].transpose(0, 1)[:, None]


def shared(network: nn.Module, strip: Tensor, step: int, depth: int) -> Tensor:
    """The same, the first so many blocks over the whole strip."""
    maps = cut_maps(network, strip, step, depth)
    for block in (network.conv2, network.conv3)[depth - 1 :]:
        maps.append(block(maps[-1]))
    x1, x2, x3 = maps
    skips = network.skip1(x1), network.skip2(x2), network.skip3(x3)
    return network.fc(network.summary(network.merge(network.attention(torch.cat([network.conv4(x3), *skips], 1)))))


def cut_maps(network: nn.Module, strip: Tensor, step: int, depth: int) -> list[Tensor]:
    """Outputs of the first so many blocks for every tile, of two tiles or more."""
    count, width = (strip.shape[3] - TILE) // step + 1, TILE
    inner = [step * i for i in range(count)]
    wide = W + SLOPE
    heads = _ready(torch.cat([strip[..., s : s + wide] for s in inner[1:]]))[..., :W]
    tails = _ready(torch.cat([strip[..., s + TILE - wide : s + TILE] for s in inner[:-1]]))[..., -W:]
    whole, outputs = _ready(strip), []
    for block in (network.conv1, network.conv2, network.conv3)[:depth]:
        edges = block(_laid(torch.cat([heads, tails])))
        whole, heads, tails = block(whole), edges[: count - 1, ..., :E], edges[count - 1 :, ..., -E:]
        step, width = step // 2, width // 2
        tiles = [whole[..., step * i : step * i + width] for i in range(count)]
        cut = _laid(torch.cat(tiles))
        cut[1:, ..., :E], cut[:-1, ..., -E:] = heads, tails
        outputs.append(cut)
        heads, tails = cut[1:, ..., :W], cut[:-1, ..., -W:]
    return outputs


def _ready(batch: Tensor) -> Tensor:
    return _laid(with_derivatives(batch) / 100)


def _laid(batch: Tensor) -> Tensor:
    return batch.contiguous(memory_format=torch.channels_last)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = make_network(template("argus"), 80).eval().to(memory_format=torch.channels_last)
    print("| step | tiles | CPU ms a tile, tile by tile | blocks shared: 1 | 2 | 3 | third maps differ by |")
    print("|---|---|---|---|---|---|---|", flush=True)
    with torch.inference_mode():
        network = fold_batch_norms(network, torch.randn(1, 3, 128, TILE))
        for step, count in ((128, 2), (128, 4), (64, 4)):
            strip = torch.randn(1, 1, 128, step * (count - 1) + TILE) * 20 - 30
            ways: list[Callable[[], Tensor]] = [lambda s=strip, p=step: plain(network, s, p)]
            ways += [lambda s=strip, p=step, d=d: shared(network, s, p, d) for d in (1, 2, 3)]
            ours = cut_maps(network, strip, step, 3)[-1]
            theirs = network.conv3(network.conv2(network.conv1(_ready(tiles_of(strip, step)))))
            change = float((ours - theirs).abs().max() / theirs.abs().max())
            turns = [[_seconds(way) for way in ways] for _ in range(repeats)]
            cells = [f"{1000 * statistics.median(column) / count:.0f}" for column in zip(*turns, strict=True)]
            print(f"| {step} | {count} | {' | '.join(cells)} | {change:.1e} |", flush=True)


def _seconds(way: Callable[[], Tensor]) -> float:
    started = time.thread_time()
    way()
    return time.thread_time() - started


if __name__ == "__main__":
    main()
