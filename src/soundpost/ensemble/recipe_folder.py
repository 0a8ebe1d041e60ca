"""Members and a table -> a recipe folder: recipe.toml and one file for each fold, safetensors or ONNX."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from soundpost.ensemble.recipes import FORMAT, Recipe, parse_recipe
from soundpost.ensemble.toml_text import toml_text
from soundpost.ensemble.weights_file import sha256_of
from soundpost.ensemble.weights_folder import RECIPE

OUT_OF_FOLD = "out_of_fold.csv"  # file beside recipe.toml: each clip's answers by the member that never heard it


@dataclass(frozen=True)
class NewMember:
    """One fold that is to stand in a recipe."""

    fold: str
    arrays: Mapping[str, np.ndarray] | None = None  # named as the network's state dict; None where its file is there
    scores: Mapping[str, float] = field(default_factory=dict)  # lwlrap, accuracy, as far as they are known
    graph: bytes | None = None  # an .onnx file in place of arrays


def fold_file(folder: Path, fold: str, suffix: str = ".safetensors") -> Path:
    """Where the weights of a fold lie, for everything that writes or reads a recipe folder by the fold's name."""
    return folder / f"fold{fold}{suffix}"


def write_recipe(
    folder: Path, name: str, table: Mapping[str, Any], labels: Sequence[str], members: Sequence[NewMember]
) -> Recipe:
    """Write the fold files that are not there yet, then recipe.toml as soundpost.ensemble.recipes reads it.

    Args:
        folder: made if it is not there.
        name: what the recipe is called.
        table: audio, front end, model, views and whatever else a recipe says.
        labels: in the order of the network's outputs.
        members: best first.

    Raises:
        SettingsError: what was to be written is no recipe; no recipe.toml is left behind then.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for member in members:
        path = fold_file(folder, member.fold, ".safetensors" if member.graph is None else ".onnx")
        if member.graph is not None:
            path.write_bytes(member.graph)
        elif member.arrays is not None:
            save_file({key: np.asarray(array, order="C") for key, array in member.arrays.items()}, path)
        rows.append({"fold": member.fold, "file": path.name, "sha256": sha256_of(path), "scores": dict(member.scores)})
    text = toml_text({"format": FORMAT, "name": name, "labels": list(labels), **table, "members": rows})
    recipe = parse_recipe(text, str(folder / RECIPE))
    (folder / RECIPE).write_text(text, encoding="utf-8", newline="\n")
    return recipe
