"""Published members and a template -> a recipe folder, after every member was loaded into its network."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from soundpost import registry
from soundpost.ensemble.recipe_folder import NewMember, write_recipe
from soundpost.ensemble.recipes import Recipe
from soundpost.errors import SettingsError, WeightsError
from soundpost.models import MODELS

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class ImportedMember:
    """One fold as it was published."""

    fold: str
    arrays: Mapping[str, Tensor]  # named as the network's state dict
    scores: Mapping[str, float] = field(default_factory=dict)  # lwlrap, accuracy, where the checkpoint tells


def template(name: str) -> dict[str, Any]:
    """Front end, views and model of a published system: recipe.toml without name, labels and members.

    Raises:
        SettingsError: no such template; the message lists those there are.
    """
    path = TEMPLATES / f"{name}.toml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in TEMPLATES.glob("*.toml")))
        raise SettingsError(f"template '{name}' is not known; known: {known}. Correct the name.")
    return tomllib.loads(path.read_text(encoding="utf-8"))


def write_imported(
    folder: Path, name: str, table: Mapping[str, Any], labels: tuple[str, ...], members: list[ImportedMember]
) -> Recipe:
    """Write recipe.toml and fold files, if every member's arrays are those of the network.

    Args:
        folder: made if it is not there.
        name: what the recipe is called.
        table: a template, its [model] filled in.
        labels: in the order of the network's outputs.
        members: best first.

    Raises:
        SettingsError: a setting that the network does not have.
        WeightsError: arrays that are not exactly those of the network.
    """
    model = table["model"]
    network = registry.build(MODELS, model["name"], model, "model", len(labels), where=f"{name} [model]")
    for member in members:
        try:
            network.load_state_dict(dict(member.arrays))
        except RuntimeError as error:
            raise WeightsError(
                f"{name}/{member.fold}: {error}. Import it with the template and the labels it was trained with."
            ) from error
    written = [
        NewMember(member.fold, {key: array.numpy() for key, array in member.arrays.items()}, member.scores)
        for member in members
    ]
    return write_recipe(folder, name, table, labels, written)
