"""Ways through one network, side by side in one run: eager, folded, bfloat16, and folds that share a batch.

    python benchmarks/prediction.py [--model argus|compact] [--windows 4] [--rounds 5]

One thread, random weights, CPU ms for each window and network: medians of rounds in which every way has its turn.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import tomli_w
import torch
from torch import nn

from soundpost.ensemble.weights_folder import find_assets
from soundpost.importers.recipe_files import ImportedMember, write_imported
from soundpost.inference.fold_group import FoldGroup
from soundpost.inference.network import build
from soundpost.inference.predictor import Predictor
from soundpost.training.recipe_fit import make_network
from soundpost.views.tiles import Tiles, TilesSettings

FOLDS = 3
SHAPES = {"argus": (1, 128, 256), "compact": (1, 64, 256)}
MODELS_OF = {"argus": "argus_aux_skip_attention", "compact": "compact"}


def make_assets(root: Path, kind: str) -> None:
    """A recipe of three folds with random weights, as its files."""
    labels = [f"Label {number}" for number in range(80)]
    table = {
        "audio": {"sample_rate": 44100},
        "front_end": {"name": "log_mel", "n_mels": SHAPES[kind][1]},
        "model": {"name": MODELS_OF[kind]},
        "views": [{"name": "tiles", "frames": 256, "step": 128, "derivatives": kind == "argus"}],
    }
    members = []
    for fold in range(FOLDS):
        torch.manual_seed(fold)
        network = make_network(table, len(labels))
        for parameter in network.parameters():
            if parameter.ndim > 1:
                nn.init.kaiming_normal_(parameter)
        members.append(ImportedMember(str(fold), network.state_dict()))
    write_imported(root / kind, kind, table, labels, members)
    (root / "submission.toml").write_text(tomli_w.dumps({"format": 1, "blend": "mean", "recipes": [kind]}))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=SHAPES, default="argus")
    parser.add_argument("--windows", type=int, default=4, help="of one batch")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        root = Path(folder)
        make_assets(root, options.model)
        found = find_assets(root)
        recipe = found.submission.recipes[0]
        folds = [Predictor(recipe, m, found.arrays(m), "cpu", "float32") for m in recipe.members]
        first = folds[0]
        view = Tiles(TilesSettings(256, 128, derivatives=options.model == "argus"))
        batch = 10 * torch.randn(options.windows, *SHAPES[options.model])
        inputs = first.prepare(batch, view)
        for fold in folds:
            fold.settle(inputs)
        plain = build(recipe, recipe.members[0], found.arrays(recipe.members[0])).to(memory_format=torch.channels_last)
        half = Predictor(recipe, recipe.members[0], found.arrays(recipe.members[0]), "cpu", "bfloat16")
        half.settle(inputs)
        group = FoldGroup(folds)
        ways = {
            "eager": (lambda: first.through(plain, inputs, is_half=False), 1),
            "folded": (lambda: first.answer(inputs), 1),
            "folded, bfloat16": (lambda: half.through(half.model, inputs, is_half=True), 1),
            f"{FOLDS} folds that share a batch": (lambda: group(batch, view), FOLDS),
        }
        taken: dict[str, list[float]] = {name: [] for name in ways}
        exact = first.answer(inputs)
        change = {name: float((way() - exact).abs().max()) for name, (way, count) in ways.items() if count == 1}
        for _ in range(options.rounds):
            for name, (way, count) in ways.items():
                started = time.thread_time()
                way()
                taken[name].append(1000 * (time.thread_time() - started) / count / options.windows)
    medians = {name: statistics.median(values) for name, values in taken.items()}
    print(f"{options.model}, {options.windows} windows, {options.rounds} rounds; {json.dumps(medians)}")
    print("| way | CPU ms for each window and network | times as fast as folded | probabilities moved by |")
    print("| --- | ---: | ---: | ---: |")
    for name, median in medians.items():
        moved = f"{change[name]:.1g}" if name in change else ""
        print(f"| {name} | {median:.1f} | {medians['folded'] / median:.2f} | {moved} |")


if __name__ == "__main__":
    main()
