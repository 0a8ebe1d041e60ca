"""What a network begins with: a member of another recipe, or a file of weights such as ImageNet's."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from soundpost.ensemble.recipe_folder import fold_file
from soundpost.ensemble.weights_file import sha256_of
from soundpost.errors import SettingsError, sentence
from soundpost.models import MODELS
from soundpost.models.resnet import TORCHVISION
from soundpost.registry import build
from soundpost.training.plan import Plan

ANY_CLASSES = 2  # to compare networks by
NESTED = ("state_dict", "model_state_dict", "model", "network")  # keys under which files keep a state dict


@dataclass(frozen=True)
class Begun:
    """What was taken over."""

    taken: int  # arrays
    wanted: int
    channels: tuple[str, ...]  # convolutions that were made to fit another number of input channels

    def __str__(self) -> str:
        """In words."""
        other = f"; made to fit other input channels: {', '.join(self.channels)}" if self.channels else ""
        return f"{self.taken} of {self.wanted} arrays{other}"


def start_file(start: Path, fold: str) -> Path:
    """The file that a fold begins with: the start itself, or the member of that fold in a recipe's folder.

    Raises:
        SettingsError: it is not there.
    """
    file = fold_file(start, fold) if start.is_dir() or not start.suffix else start
    if not file.is_file():
        folds = " Name a recipe with the same folds, or a file of weights." if file != start else " Name another."
        raise SettingsError(f"--start {start}: no {file.name} there.{folds}")
    return file


def digest_of_start(start: Path | None, fold: str) -> str:
    """Tells the weights that a fold begins with from all others; "" for fresh ones."""
    return sha256_of(start_file(start, fold)) if start else ""


def shapes_of(plan: Plan) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the arrays of a plan's network; plans in which they agree can begin with the same weights."""
    network = build(MODELS, plan.model["name"], plan.model, "model", ANY_CLASSES)
    return {name: tuple(array.shape) for name, array in network.state_dict().items()}


def begin_with(network: nn.Module, file: Path) -> Begun:
    """Take over arrays whose names and shapes agree, be they fastai's, torchvision's or the network's own names.

    A convolution over other input channels is taken, too: summed where the network sees one, so that a grey picture
    gives what three equal planes gave; else repeated and scaled by the ratio.

    Raises:
        SettingsError: the file cannot be read, or nothing of it fits.
    """
    own = network.state_dict()
    given = read_arrays(file)
    best: dict[str, Tensor] = {}
    changed: tuple[str, ...] = ()
    for named in _names(given):
        known = {key: _fitted(value, own[key]) for key, value in named.items() if key in own}
        fits = {key: value for key, value in known.items() if value is not None}
        if len(fits) > len(best):
            best, changed = fits, tuple(key for key in fits if named[key].shape != own[key].shape)
    if not best:
        raise SettingsError(f"--start {file}: no array of it fits the network. Name weights of the same network.")
    network.load_state_dict({**own, **best})
    return Begun(len(best), len(own), changed)


def read_arrays(file: Path) -> dict[str, Tensor]:
    """A state dict, read without running anything that the file holds.

    Raises:
        SettingsError: neither safetensors nor tensors and plain values as torch.save writes them.
    """
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        found: Any = torch.load(file, map_location="cpu", weights_only=True)
    except (UnpicklingError, SafetensorError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise SettingsError(
            f"--start {file}: {sentence(error)}. Give a .safetensors, or a .pth of tensors and plain values alone."
        ) from error
    for key in NESTED:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    arrays = {str(key): value for key, value in found.items() if isinstance(value, Tensor)} if found else {}
    if not arrays:
        raise SettingsError(f"--start {file}: no tensor in it. Give a state dict.")
    return arrays


def _names(arrays: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
    """The arrays under the names that they have and that they may have here."""
    bare = {key.removeprefix("module.").removeprefix("model."): value for key, value in arrays.items()}
    fastai = {}
    for key, value in bare.items():
        old = next((begin for begin in TORCHVISION if key.startswith(begin)), "")
        fastai[TORCHVISION.get(old, "") + key.removeprefix(old)] = value
    return [dict(arrays), bare, fastai]


def _fitted(value: Tensor, wanted: Tensor) -> Tensor | None:
    """An array as it is, or its input channels made to fit; None where that does not help."""
    if value.shape == wanted.shape:
        return value
    is_convolution = value.dim() == wanted.dim() == 4 and value.is_floating_point()
    if not is_convolution or value.shape[0] != wanted.shape[0] or value.shape[2:] != wanted.shape[2:]:
        return None
    channels, given = wanted.shape[1], value.shape[1]
    if channels == 1:
        return value.sum(1, keepdim=True)
    if given > 4:  # no picture's; a deeper layer that is of another network
        return None
    return value.repeat(1, -(-channels // given), 1, 1)[:, :channels] * (given / channels)
