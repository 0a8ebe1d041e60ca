"""soundpost import add: the folds of a network of your own -> a recipe folder, named in the submission."""

import re
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli_w
import torch

from soundpost.ensemble.recipe_folder import NewMember, write_recipe
from soundpost.ensemble.recipes import FORMAT, Recipe
from soundpost.ensemble.weights_folder import SUBMISSION, find_assets
from soundpost.errors import SettingsError
from soundpost.importers.matching import adapted, matched, refuse_unfit
from soundpost.importers.network_source import SOURCE, network_source, refuse_unseen
from soundpost.importers.probe import probe
from soundpost.importers.shown_settings import refuse_other_rates
from soundpost.importers.state_dicts import read_state_dict
from soundpost.kernel.own_source import OwnSource, refuse_too_large
from soundpost.models import MODELS
from soundpost.registry import build

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Adding:
    """How the files of a person become a recipe, beside what stands in the settings."""

    network: str = ""  # see network_source; "" where [model] names a network of the kit
    scores: Sequence[float] = ()  # out-of-fold lwlrap of each checkpoint; empty when it is not known
    renames: Mapping[str, str] = field(default_factory=dict)  # beginnings of names in the checkpoints -> of ours
    drop: Sequence[str] = ()  # patterns of names that are left out
    strip: Sequence[str] = ()  # patterns of leading parts that are taken off
    is_logits: bool = False  # answers within [0, 1] are logits all the same
    replace: bool = False  # a recipe of that name goes


def add(
    checkpoints: Sequence[Path],
    weights: Path,
    name: str,
    table: Mapping[str, Any],
    labels: tuple[str, ...],
    adding: Adding | None = None,
) -> Recipe:
    """The folds of one network as a recipe, after each was loaded and shown noise; nothing is written before.

    Args:
        checkpoints: one file for each fold: a state dict, bare or inside what a training loop saved.
        weights: folder of submission.toml; the recipe goes into the folder of its name there.
        name: what the recipe is called.
        table: audio, front_end, model, views and whatever else a recipe.toml has but name, labels and members.
        labels: in the order of the network's outputs.
        adding: what else was said.

    Raises:
        SettingsError: a table that lacks something or names what is not registered, rates that differ, scores of
            another number or outside [0, 1], a name that cannot be a folder's or is taken.
        WeightsError: names or shapes that are not the network's, weights or answers that are no numbers, answers of
            another shape than the labels', probabilities in place of logits.
        BundleError: code that a kernel cannot carry.
    """
    said = adding or Adding()
    folder = free_folder(weights, name, said.replace)
    refuse_incomplete(table, name, said)
    refuse_scores(said.scores, len(checkpoints))
    refuse_other_rates(table, f"settings of {name}")
    before = set(sys.modules)
    source = network_source(said.network, table.get("model", {}), len(labels))
    whole = {**table, "model": source.model}
    with tempfile.TemporaryDirectory(prefix="soundpost-add-") as apart:
        copied = Path(apart)
        if source.code:
            copy_code(source.code, copied)
        members = _members(checkpoints, whole, labels, name, said, copied)
    if source.code:
        refuse_unseen(source.code, before)
        refuse_too_large(SOURCE, source.code)
    if folder.is_dir():
        shutil.rmtree(folder)
    recipe = write_recipe(folder, name, whole, labels, members)
    if source.code:
        copy_code(source.code, folder)
    return recipe


def copy_code(code: OwnSource, folder: Path) -> None:
    """The person's files under a folder, as they lie under their root, and nothing else from there."""
    for file in code.files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(code.root / file, folder / file)


def code_lines(folder: Path, recipe: Recipe) -> list[str]:
    """The files of code that travel with a recipe, each with its size; none for a network of a library."""
    settings = recipe.model.settings
    files = [settings["file"], *settings.get("files", ())] if "file" in settings else []
    sizes = [(folder / file).stat().st_size for file in files]
    listed = [f"    {file:<30} {size:>9,} bytes" for file, size in zip(files, sizes, strict=True)]
    return [f"code that travels: {len(files)} files, {sum(sizes):,} bytes", *listed] if files else []


def free_folder(weights: Path, name: str, replace: bool) -> Path:
    """The folder that a recipe of that name gets.

    Raises:
        SettingsError: no name for a folder, or one that is taken and was not said to be replaced.
    """
    if not NAME.fullmatch(name):
        raise SettingsError(
            f"--recipe '{name}' cannot be a folder's name. Take letters, digits, dots, hyphens, underscores, such as "
            f"{re.sub(r'[^A-Za-z0-9._-]+', '-', name).strip('-._') or 'mine'}."
        )
    folder = weights / name
    if folder.exists() and not replace:
        raise SettingsError(f"{folder} is there already, and stays. Choose another --recipe, or say --replace.")
    return folder


def refuse_incomplete(table: Mapping[str, Any], name: str, said: Adding) -> None:
    """Refuse settings without a front end, or without a network where none is named elsewhere.

    Raises:
        SettingsError: with what is absent.
    """
    needed = {"front_end"} if said.network else {"front_end", "model"}
    absent = sorted(needed - set(table))
    if absent:
        raise SettingsError(f"settings of {name}: no {', '.join(absent)}. Write both, as docs/your_model.md shows.")


def refuse_scores(scores: Sequence[float], count: int) -> None:
    """Refuse scores of another number than checkpoints, or that are no lwlrap.

    Raises:
        SettingsError: with the number or the score.
    """
    if scores and len(scores) != count:
        raise SettingsError(f"{len(scores)} scores for {count} checkpoints. Give one for each, or none.")
    wrong = [score for score in scores if not 0 <= score <= 1]
    if wrong:
        raise SettingsError(f"--score {wrong[0]:g} is no lwlrap, which lies within [0, 1]. Give 0.81 for 81 %.")


def name_in_submission(weights: Path, name: str, alone: bool) -> None:
    """Put the recipe behind the others of submission.toml, or in their place."""
    path = weights / SUBMISSION
    fresh: dict[str, Any] = {"format": FORMAT, "blend": "mean"}
    table = tomllib.loads(path.read_text("utf-8")) if path.is_file() else fresh
    before = [] if alone else [recipe for recipe in table.get("recipes", []) if recipe != name]
    table["recipes"] = [*before, name]
    if alone:
        table.pop("second_level", None)
        table["blend"] = "mean"
    path.write_text(tomli_w.dumps(table), "utf-8")
    find_assets(weights)


def read_settings(path: Path) -> dict[str, Any]:
    """The tables of a settings file.

    Raises:
        SettingsError: it cannot be read or is no TOML.
    """
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"--settings {path}: {error}. Write it as docs/your_model.md shows.") from error


def _members(
    checkpoints: Sequence[Path],
    table: Mapping[str, Any],
    labels: tuple[str, ...],
    name: str,
    said: Adding,
    folder: Path,
) -> list[NewMember]:
    """Every fold, loaded into the network of the copied files and shown noise; best first."""
    network = _network(table["model"], folder, labels, name)
    wanted = network.state_dict()
    members = []
    for fold, path in enumerate(checkpoints):
        own = adapted(read_state_dict(path), said.drop, said.strip, said.renames, str(path))
        arrays = matched(own, wanted, str(path))
        refuse_unfit(arrays, str(path))
        network.load_state_dict(arrays)
        probe(network, table, len(labels), str(path), said.is_logits)
        score = {"lwlrap": said.scores[fold]} if said.scores else {}
        members.append(NewMember(str(fold), {key: array.numpy() for key, array in arrays.items()}, score))
    return sorted(members, key=lambda member: -member.scores.get("lwlrap", 0.0))


def _network(model: Mapping[str, Any], folder: Path, labels: tuple[str, ...], name: str) -> torch.nn.Module:
    placed = {**model, "folder": str(folder)} if "file" in model else model
    network: torch.nn.Module = build(
        MODELS, model.get("name", ""), placed, "model", len(labels), where=f"{name} [model]"
    )
    return network.eval()
