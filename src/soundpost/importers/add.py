"""python -m soundpost.importers add: the folds of a network of your own -> a recipe folder, named in the submission."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w
import torch
from torch import Tensor

from soundpost.arguments import Parser
from soundpost.ensemble.recipes import FORMAT, Recipe
from soundpost.ensemble.weights_folder import RECIPE, SUBMISSION, default_root, find_assets
from soundpost.errors import SettingsError, WeightsError
from soundpost.exit_status import refusing
from soundpost.front_ends import FRONT_ENDS
from soundpost.importers.recipe_files import ImportedMember, write_imported
from soundpost.importers.state_dicts import read_state_dict, renamed
from soundpost.models import MODELS
from soundpost.registry import build
from soundpost.views import VIEWS

COUNTER = "num_batches_tracked"  # which torch did not save before 0.4.1, and which no answer depends on
TRIED_SECONDS = 3.0  # so much silence is shown to the network once


def add(
    checkpoints: Sequence[Path],
    weights: Path,
    name: str,
    table: Mapping[str, Any],
    labels: tuple[str, ...],
    scores: Sequence[float] = (),
    renames: Mapping[str, str] | None = None,
) -> Recipe:
    """The folds of one network as a recipe, after each was loaded and shown a clip.

    Args:
        checkpoints: one file for each fold: a state dict, bare or inside what a training loop saved.
        weights: folder of submission.toml; the recipe goes into the folder of its name there.
        name: what the recipe is called.
        table: audio, front_end, model, views and whatever else a recipe.toml has but name, labels and members.
        labels: in the order of the network's outputs.
        scores: out-of-fold lwlrap of each checkpoint; empty when it is not known.
        renames: beginnings of names in the checkpoints -> of ours.

    Raises:
        SettingsError: a table that lacks something or names what is not registered; scores of another number.
        WeightsError: names or shapes that are not the network's, or answers of another shape than the labels'.
    """
    absent = sorted({"front_end", "model"} - set(table))
    if absent:
        raise SettingsError(f"settings of {name}: no {', '.join(absent)}. Write both, as docs/your_model.md shows.")
    if scores and len(scores) != len(checkpoints):
        raise SettingsError(f"{len(scores)} scores for {len(checkpoints)} checkpoints. Give one for each, or none.")
    network = _network(table, labels, name)
    wanted = network.state_dict()
    members = []
    for fold, path in enumerate(checkpoints):
        arrays = matched(renamed(read_state_dict(path), renames or {}), wanted, str(path))
        score = {"lwlrap": scores[fold]} if scores else {}
        members.append(ImportedMember(str(fold), arrays, score))
    _try_out(network, table, labels, name)
    members.sort(key=lambda member: -member.scores.get("lwlrap", 0.0))
    return write_imported(weights / name, name, table, labels, members)


def matched(arrays: Mapping[str, Tensor], wanted: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """The arrays under the network's names: as they are, or less leading parts that all of them share.

    Raises:
        WeightsError: names that do not come out the same, or other shapes; with both sides' first ones.
    """
    counters = {key: torch.zeros_like(value) for key, value in wanted.items() if key.endswith(COUNTER)}
    names = list(arrays)
    found = dict(arrays)
    while set(counters | found) != set(wanted) and len({n.split(".")[0] for n in names}) == 1 and "." in names[0]:
        names = [n.partition(".")[2] for n in names]
        found = dict(zip(names, arrays.values(), strict=True))
    if set(counters | found) != set(wanted):
        missing, strange = sorted(set(wanted) - set(counters) - set(arrays)), sorted(set(arrays) - set(wanted))
        raise WeightsError(
            f"{where}: the network has {', '.join(missing[:3]) or 'nothing'} that the file lacks, the file has "
            f"{', '.join(strange[:3]) or 'nothing'} that the network lacks. Give --rename OLD=NEW for beginnings that "
            "differ, or correct the network's attributes or [model]."
        )
    found = {key: found[key] if key in found else counters[key] for key in wanted}
    other = [key for key in wanted if found[key].shape != wanted[key].shape]
    if other:
        raise WeightsError(
            f"{where}: {other[0]} is {tuple(found[other[0]].shape)} in the file and {tuple(wanted[other[0]].shape)} in "
            "the network. Correct [model], or give the labels it was trained with."
        )
    return found


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


def _network(table: Mapping[str, Any], labels: tuple[str, ...], name: str) -> torch.nn.Module:
    model = table["model"]
    return build(MODELS, model.get("name", ""), model, "model", len(labels), where=f"{name} [model]").eval()


@torch.inference_mode()
def _try_out(network: torch.nn.Module, table: Mapping[str, Any], labels: tuple[str, ...], name: str) -> None:
    """Show the network one clip as every view cuts it, so that what does not fit together is said now."""
    settings = table["front_end"]
    front_end = build(FRONT_ENDS, settings.get("name", ""), settings, "front end", where=f"{name} [front_end]")
    rate = int(table.get("audio", {}).get("sample_rate", 44100)) or 44100
    spectrogram = front_end(torch.zeros(1, round(TRIED_SECONDS * rate)))[0]
    for given in table.get("views", [{"name": "whole"}]):
        view = build(VIEWS, given.get("name", ""), given, "view", where=f"{name} [[views]]")
        window = view.windows(spectrogram.shape[2])[0]
        batch = view.prepare(view.cut(spectrogram, window)[None])
        try:
            answer = network(batch)
        except RuntimeError as error:
            raise WeightsError(
                f"{name}: the network does not take {tuple(batch.shape)}, (batch, channels, bins, frames), of view "
                f"{given['name']} ({str(error).splitlines()[0]}). Correct the view, the front end or the network."
            ) from error
        answer = answer[0] if isinstance(answer, (tuple, list)) else answer
        if answer.shape != (1, len(labels)):
            raise WeightsError(
                f"{name}: the network answers {tuple(answer.shape)} for one window and {len(labels)} labels. It must "
                f"return logits (batch, {len(labels)})."
            )


@refusing
def main(arguments: Sequence[str], labels_of: Any) -> int:
    """Add one recipe and say what to do next; 0 if it was written, 1 with the reason if not.

    Args:
        arguments: behind the word "add".
        labels_of: reads labels from a file.
    """
    parser = Parser(prog="soundpost import add", description=__doc__)
    parser.add_argument("--checkpoint", type=Path, nargs="+", required=True, help="one file for each fold")
    parser.add_argument("--recipe", required=True, help="its name, and that of its folder in weights/")
    parser.add_argument("--settings", type=Path, required=True, help="toml: audio, front_end, model, views")
    parser.add_argument("--labels", type=Path, required=True, help="sample_submission.csv, or one label a line")
    parser.add_argument("--score", type=float, nargs="+", default=[], help="out-of-fold lwlrap of each checkpoint")
    parser.add_argument("--rename", metavar="OLD=NEW", action="append", default=[], help="beginnings of names")
    parser.add_argument("--only", action="store_true", help="the submission is to hold no other recipe")
    parser.add_argument("--weights", type=Path, default=default_root(), help="folder of submission.toml (weights)")
    given = parser.parse_args(arguments)
    table = _read_settings(given.settings)
    renames = {old: new for old, _, new in (text.partition("=") for text in given.rename)}
    labels = labels_of(given.labels)
    recipe = add(given.checkpoint, given.weights, given.recipe, table, labels, given.score, renames)
    name_in_submission(given.weights, recipe.name, given.only)
    folder = given.weights / recipe.name
    print(f"{folder / RECIPE}: {len(recipe.members)} folds of {recipe.model.name}, {len(recipe.labels)} labels")
    print(f"{given.weights / SUBMISSION} names it. Next: python build_kernel.py")
    return 0


def _read_settings(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"--settings {path}: {error}. Write it as docs/your_model.md shows.") from error
