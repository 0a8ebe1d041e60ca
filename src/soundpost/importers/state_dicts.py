"""Weight files that hold a state dict and say no more: the names in it tell which published network it is."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from soundpost.ensemble.recipes import Recipe
from soundpost.errors import WeightsError
from soundpost.importers.checkpoints import load_checkpoint, single_precision
from soundpost.importers.recipe_files import ImportedMember, template, write_imported

FOLD = re.compile(r"fold[_-]?(\d+)")
WRAPPERS = ("model", "state_dict", "model_state_dict")  # entries under which training loops save the state dict
PARALLEL = "module."  # in front of every name that was saved from a network on several devices


@dataclass(frozen=True)
class Published:
    """A published network, by an entry that only its state dict has."""

    template: str  # a name that recipe_files.template knows
    telling: str  # name of an entry
    renamed: Mapping[str, str] = field(default_factory=dict)  # beginnings of published names -> of ours
    changed: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # table of the template -> other settings
    ignored: str = ""  # beginning of names that prediction does not need

    def table(self) -> dict[str, Any]:
        """The recipe's table: the template with its changes; a changed front end replaces the template's."""
        table = template(self.template)
        for name, settings in self.changed.items():
            table[name] = dict(settings) if "name" in settings else {**table[name], **settings}
        return table


def import_state_dicts(
    source: Path, folder: Path, name: str, labels: tuple[str, ...], known: Sequence[Published]
) -> Recipe:
    """Weights of one network, one file for each fold, as a recipe.

    Args:
        source: one file, or a folder of .pt and .pth files; fold_<number> in a file's name says its fold.
        folder: where recipe.toml and the fold files go.
        name: what the recipe is called.
        labels: in the order of the network's outputs.
        known: the networks that it may be; of those whose telling entry is there the first one is taken.

    Raises:
        WeightsError: no weights there, none of the known networks, or different networks.
    """
    files = [source] if source.is_file() else sorted(f for f in source.glob("*") if f.suffix in (".pt", ".pth"))
    found, members = [], []
    for index, path in enumerate(files):
        arrays = read_state_dict(path)
        network = next((network for network in known if network.telling in arrays), None)
        if network is None:
            expected = ", ".join(network.telling for network in known)
            raise WeightsError(f"{path}: none of {expected} among its {len(arrays)} names. Import a published network.")
        found.append(network)
        fold = FOLD.search(path.stem)
        needed = {key: array for key, array in arrays.items() if not _starts(key, network.ignored)}
        members.append(ImportedMember(fold.group(1) if fold else str(index), renamed(needed, network.renamed)))
    if not found:
        raise WeightsError(f"{source}: no .pt or .pth file. Give a weight file or a folder of them, one for each fold.")
    if any(network != found[0] for network in found):
        raise WeightsError(f"{source}: its files are different networks. Import each network by itself.")
    return write_imported(folder, name, found[0].table(), labels, members)


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The state dict in a weight file, bare or beside an optimiser's state, without the prefix of several devices.

    Raises:
        WeightsError: not such a file, or no state dict in it.
    """
    content: Any = load_checkpoint(path)
    if isinstance(content, Mapping):
        content = next((content[key] for key in WRAPPERS if isinstance(content.get(key), Mapping)), content)
    if not isinstance(content, Mapping) or not content:
        raise WeightsError(f"{path}: no state dict in it. Save the network's state_dict() and import that.")
    arrays = single_precision(content, str(path))
    return {key.removeprefix(PARALLEL): array for key, array in arrays.items()}


def renamed(arrays: Mapping[str, Tensor], beginnings: Mapping[str, str]) -> dict[str, Tensor]:
    """The same arrays; a name that starts with a key of beginnings starts with its value instead."""
    result = {}
    for name, array in arrays.items():
        old = next((old for old in beginnings if name.startswith(old)), "")
        result[beginnings[old] + name.removeprefix(old) if old else name] = array
    return result


def _starts(name: str, beginning: str) -> bool:
    return bool(beginning) and name.startswith(beginning)
