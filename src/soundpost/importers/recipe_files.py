"""Members and a template -> a recipe folder: recipe.toml and one safetensors file for each fold."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli_w
from safetensors.torch import save_file
from torch import Tensor

from soundpost.errors import SettingsError, WeightsError
from soundpost.models import MODELS
from soundpost.recipes import FORMAT, Recipe, parse_recipe
from soundpost.registry import pick, settings_from
from soundpost.weights import sha256_of

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


def write_recipe(
    folder: Path, name: str, table: Mapping[str, Any], labels: tuple[str, ...], members: list[ImportedMember]
) -> Recipe:
    """Write recipe.toml and fold files, after every member was loaded into its network.

    Args:
        folder: made if it is not there.
        name: of the recipe.
        table: a template, its [model] filled in.
        labels: in the order of the network's outputs.
        members: best first.

    Raises:
        SettingsError: a setting that the network does not have.
        WeightsError: arrays that are not exactly those of the network.
    """
    model = dict(table["model"])
    model_class = pick(MODELS, model.pop("name"), "model")
    network = model_class(settings_from(model_class.Settings, model, f"{name} [model]"), len(labels))
    for member in members:
        try:
            network.load_state_dict(dict(member.arrays))
        except RuntimeError as error:
            raise WeightsError(
                f"{name}/{member.fold}: {error}. Import it with the template and the labels it was trained with."
            ) from error
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for member in members:
        path = folder / f"fold_{member.fold}.safetensors"
        save_file(dict(member.arrays), path)
        rows.append({"fold": member.fold, "file": path.name, "sha256": sha256_of(path), "scores": dict(member.scores)})
    text = tomli_w.dumps({"format": FORMAT, "name": name, "labels": list(labels), **table, "members": rows})
    recipe = parse_recipe(text, str(folder / "recipe.toml"))
    (folder / "recipe.toml").write_text(text, encoding="utf-8")
    return recipe
