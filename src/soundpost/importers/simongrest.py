"""Weights of simongrest, 44th place of Freesound 2019."""

from pathlib import Path

from soundpost.ensemble.recipes import Recipe
from soundpost.importers.state_dicts import Published, import_state_dicts

SIMONGREST = (Published("simongrest", "se_dense_layers.0.dense_layers.0.weight"),)


def import_simongrest(source: Path, folder: Path, name: str, labels: tuple[str, ...]) -> Recipe:
    """His densely connected network as a recipe; see import_state_dicts."""
    return import_state_dicts(source, folder, name, labels, SIMONGREST)
