"""Checkpoints of lRomul/argus-freesound: a dict of model name, parameters and state dict, one file for each fold."""

import re
from pathlib import Path
from typing import Any

from soundpost.ensemble.recipes import Recipe
from soundpost.errors import WeightsError
from soundpost.importers.checkpoints import load_checkpoint, single_precision
from soundpost.importers.recipe_files import ImportedMember, template, write_imported

TEMPLATE_OF = {
    "SkipAttention": ("argus", "argus_skip_attention"),
    "AuxSkipAttention": ("argus", "argus_aux_skip_attention"),
    "RnnAuxSkipAttention": ("argus", "argus_rnn_aux_skip_attention"),
    "FCNet": ("argus_second_level", "argus_fcnet"),
}
SCORE = re.compile(r"-(\d+(?:\.\d+)?)\.pth$")  # model-<epoch>-<validation lwlrap>.pth


def import_argus(source: Path, folder: Path, name: str, labels: tuple[str, ...]) -> Recipe:
    """One experiment of argus as a recipe.

    Args:
        source: one checkpoint, or an experiment's folder with fold_0, fold_1, ...; of several checkpoints in a fold
            the one whose name ends in the largest number is taken.
        folder: where recipe.toml and the fold files go.
        name: what the recipe is called.
        labels: in the order of the network's outputs.

    Raises:
        WeightsError: no checkpoint there, one of another layout, or folds of different networks.
    """
    networks, members = [], []
    for fold, path in _checkpoints(source):
        network, arrays = _read(path)
        score = SCORE.search(path.name)
        networks.append(network)
        members.append(ImportedMember(fold, arrays, {"lwlrap": float(score.group(1))} if score else {}))
    if any(network != networks[0] for network in networks):
        raise WeightsError(f"{source}: its folds are different networks. Import each experiment by itself.")
    class_name, parameters = networks[0]
    if class_name not in TEMPLATE_OF:
        raise WeightsError(f"{source}: network {class_name}; known: {', '.join(TEMPLATE_OF)}. Import one of these.")
    template_name, model = TEMPLATE_OF[class_name]
    if parameters.pop("num_classes", len(labels)) != len(labels):
        raise WeightsError(f"{source}: trained for another number of classes than {len(labels)}. Give its own labels.")
    table = {**template(template_name), "model": {"name": model, **parameters}}
    members.sort(key=lambda member: -member.scores.get("lwlrap", 0.0))
    return write_imported(folder, name, table, labels, members)


def _checkpoints(source: Path) -> list[tuple[str, Path]]:
    if source.is_file():
        return [("0", source)]
    found = []
    for folder in sorted(source.glob("fold_*")):
        scored = [(float(match.group(1)), path) for path in folder.glob("*.pth") if (match := SCORE.search(path.name))]
        if scored:
            found.append((folder.name.removeprefix("fold_"), max(scored)[1]))
    if not found:
        raise WeightsError(f"{source}: no fold_<number>/model-<epoch>-<score>.pth. Give the folder of one experiment.")
    return found


def _read(path: Path) -> tuple[tuple[str, dict[str, Any]], dict[str, Any]]:
    checkpoint = load_checkpoint(path)
    try:
        class_name, parameters = checkpoint["params"]["nn_module"]
        state = checkpoint["nn_state_dict"]
        # Published as None: no dropout.
        parameters = {key: 0.0 if value is None else value for key, value in parameters.items()}
        return (str(class_name), parameters), single_precision(state, str(path))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WeightsError(
            f"{path}: no params.nn_module and nn_state_dict ({error}). Give a checkpoint of argus-freesound."
        ) from error
