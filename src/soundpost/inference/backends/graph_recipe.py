"""Recipes whose members are ONNX files: how their graphs are opened."""

from collections.abc import Mapping, Sequence

import numpy as np

from soundpost.ensemble.recipes import ONNX, Recipe
from soundpost.ensemble.weights_file import GRAPH, graph_bytes
from soundpost.errors import WeightsError
from soundpost.inference.backends.candidates import Candidates
from soundpost.inference.backends.choice import BackendChoice
from soundpost.inference.backends.graph_settings import GraphSettings
from soundpost.inference.backends.opening import usable
from soundpost.registry import settings_from


def graph_candidates(
    recipe: Recipe,
    arrays: Mapping[str, np.ndarray],
    names: Sequence[str] | None = None,
    choice: BackendChoice | None = None,
    lanes: int = 1,
) -> Candidates:
    """Who may compute a member that is an ONNX file.

    Args:
        recipe: the member's.
        arrays: its file, as soundpost.ensemble.weights_file reads it.
        names: runtimes to try; None: all that are here.
        choice: decides between them; None: its own.
        lanes: calls that may run beside each other.

    Raises:
        WeightsError: the file is no ONNX file.
        SettingsError: [model] of the recipe is not what GraphSettings has.
    """
    if set(arrays) != {GRAPH}:
        raise WeightsError(
            f"recipe {recipe.name} has [model] name = '{ONNX}', and its file holds {', '.join(sorted(arrays)[:3])}. "
            "Add the .onnx files again: soundpost import add --onnx."
        )
    settings = settings_from(GraphSettings, recipe.model.settings, f"{recipe.name} [model]")
    runtimes = usable() if names is None else names
    return Candidates(
        graph_bytes(arrays[GRAPH]), settings, len(recipe.labels), runtimes, choice or BackendChoice(), lanes
    )
