"""State dicts of ex4sperans/freesound-classification: one file for each fold, sizes read off the arrays.

The checkpoints do not say which front end they were trained with: 2-D networks take the mel bands of the readme, 1-D
networks the bins that their first convolution has. Another one is written into recipe.toml afterwards.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from soundpost.ensemble.recipes import Recipe
from soundpost.errors import WeightsError
from soundpost.importers.checkpoints import load_checkpoint, single_precision
from soundpost.importers.recipe_files import ImportedMember, template, write_imported
from soundpost.models.ex4sperans_backbone import BLOCKS

GROWTHS = tuple(step / 20 for step in range(10, 101))  # 0.5 to 5; the published ones are 1.5 and 2
UNUSED = "backbone.last_linear."  # a layer of the backbone that nothing reads


def import_ex4sperans(source: Path, folder: Path, name: str, labels: tuple[str, ...]) -> Recipe:
    """One experiment of ex4sperans as a recipe.

    Args:
        source: one state dict, or an experiment's folder with checkpoints/fold_0/best_model.pth, ...
        folder: where recipe.toml and the fold files go.
        name: what the recipe is called.
        labels: in the order of the network's outputs.

    Raises:
        WeightsError: no checkpoint there, or one of another network.
    """
    paths = {"0": source} if source.is_file() else _folds(source)
    members = []
    for fold, path in paths.items():
        state = load_checkpoint(path)
        if not isinstance(state, Mapping):
            raise WeightsError(f"{path}: holds a {type(state).__name__}. Give a state dict of ex4sperans.")
        kept = {key: value for key, value in state.items() if not key.startswith(UNUSED)}
        members.append(ImportedMember(fold, single_precision(kept, str(path))))
    try:
        table = _table(members[0].arrays)
    except (KeyError, IndexError) as error:
        raise WeightsError(f"{source}: no array {error}. Give a state dict of ex4sperans' networks.") from error
    return write_imported(folder, name, table, labels, members)


def _folds(source: Path) -> dict[str, Path]:
    paths = sorted(source.glob("checkpoints/fold_*/best_model.pth"))
    if not paths:
        raise WeightsError(f"{source}: no checkpoints/fold_<number>/best_model.pth. Give one experiment's folder.")
    return {path.parent.name.removeprefix("fold_"): path for path in paths}


def _table(arrays: Mapping[str, Tensor]) -> dict[str, Any]:
    """The template whose network the arrays belong to, with their sizes."""
    if "input_norm.weight" in arrays:
        third = sum(1 for key in arrays if key.startswith("backbone.layer3.") and key.endswith(".conv1.weight"))
        backbone = next(name for name, blocks in BLOCKS.items() if blocks[2] == third)
        return {**template("ex4sperans_2d"), "model": {"name": "ex4sperans_backbone", "backbone": backbone}}
    first = arrays["conv_modules.0.1.weight"]
    table = template("ex4sperans_2d" if first.dim() == 4 else "ex4sperans_1d")
    depths = [arrays[f"conv_modules.{k}.1.weight"].shape[0] for k in range(_count(arrays, "conv_modules"))]
    growth = next((g for g in GROWTHS if [int(g**k * depths[0]) for k in range(len(depths))] == depths), None)
    if growth is None:
        raise WeightsError(f"blocks of {depths} channels follow no growth rate. Write [model] by hand.")
    width = arrays["output_transform.0.weight"].shape[0]
    recurrent = _count(arrays, "rnns")
    start = len(depths) - recurrent
    if not recurrent:
        start = next((k for k in range(len(depths)) if sum(depths[k:]) == width), len(depths))
    model = {"name": table["model"]["name"], "blocks": len(depths), "base": depths[0], "growth": growth, "start": start}
    model["aggregation"] = "rnn" if recurrent else "max"
    if first.dim() == 3:
        model["bins"] = first.shape[1]
        mel = template("ex4sperans_2d")["front_end"]
        n_fft = 2 * (first.shape[1] - 1)
        bins = {**table["front_end"], "n_fft": n_fft, "hop_length": n_fft // 2}
        table["front_end"] = mel if first.shape[1] == mel["n_mels"] else bins
    # Frames are 1 + samples // hop_length, each block keeps half, and one must be left.
    table["audio"]["length_samples"] = table["front_end"]["hop_length"] * (2 ** len(depths) - 1)
    return {**table, "model": model}


def _count(arrays: Mapping[str, Tensor], prefix: str) -> int:
    return len({key.split(".")[1] for key in arrays if key.startswith(f"{prefix}.")})
