"""Keras weights of qrfaction: arrays named by layer and order of creation, mapped to those of the state dict."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from soundpost.ensemble.recipes import Recipe
from soundpost.errors import WeightsError
from soundpost.importers.recipe_files import ImportedMember, template, write_imported
from soundpost.models.qrfaction import Qrfaction, QrfactionSettings

NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
POOLS = {"max3exam": "avemax3", "se": "avemax3"}  # by the published name, where it is not the usual pair


def import_qrfaction(source: Path, folder: Path, name: str, labels: tuple[str, ...]) -> Recipe:
    """One configuration of qrfaction as a recipe; its network is recognised by its arrays.

    Args:
        source: one .npz, or a folder of .npz files, one for each fold, of Keras arrays named as in its weight files
            ("conv2d_1/kernel:0", "bidirectional_1/forward_...", ...). The pooling pair is no array: it is that of
            the published configuration if the recipe has its name, else "avemax1"; correct it in recipe.toml.
        folder: where recipe.toml and the fold files go.
        name: what the recipe is called.
        labels: in the order of the network's outputs.

    Raises:
        WeightsError: no file there, or arrays of another network.
    """
    paths = [source] if source.is_file() else sorted(source.glob("*.npz"))
    if not paths:
        raise WeightsError(f"{source}: no .npz in it. Give one file for each fold.")
    members, settings = [], QrfactionSettings()
    for fold, path in enumerate(paths):
        arrays = _load(path)
        try:
            settings = recognise(arrays, POOLS.get(name, "avemax1"))
            members.append(ImportedMember(str(fold), from_keras(arrays, settings)))
        except (KeyError, ValueError) as error:
            raise WeightsError(f"{path}: no array {error}. Give the weights of one of its networks.") from error
    model = {
        "name": "qrfaction",
        "network": settings.network,
        "pool": settings.pool,
        "width_ratio": settings.width_ratio,
        "rnn_unit": settings.rnn_unit,
    }
    return write_imported(folder, name, {**template("qrfaction"), "model": model}, labels, members)


def recognise(arrays: Mapping[str, np.ndarray], pool: str) -> QrfactionSettings:
    """The settings of the network that Keras arrays belong to; they do not tell the pooling pair."""
    layers = {key.split("/")[0] for key in arrays}
    convolutions = sum(1 for layer in layers if layer.startswith("conv2d_"))
    squeezed = sum(1 for layer in layers if layer.startswith("dense_")) > 1
    has_projections = convolutions == 13
    network = {11: "msc", 13: "se_cat" if squeezed else "concat"}.get(convolutions, "se" if squeezed else "conv")
    # The last block's second convolution comes last, or before its projection.
    width = arrays[f"conv2d_{convolutions - has_projections}/kernel:0"].shape[3]
    gates = arrays[_find(arrays, "bidirectional_1", "forward", "recurrent_kernel")].shape[1]
    return QrfactionSettings(network, pool, width / 512, gates // 3)


def from_keras(arrays: Mapping[str, np.ndarray], settings: QrfactionSettings) -> dict[str, Tensor]:
    """The state dict that Keras arrays amount to.

    Args:
        arrays: by Keras name; layers are numbered in the order of creation.
        settings: those of the network.

    Raises:
        KeyError: an array that the network needs is not there.
    """
    state: dict[str, np.ndarray] = {}
    for name, layer in keras_layers(settings):
        if layer.startswith("conv2d_"):
            state[f"{name}.weight"] = arrays[f"{layer}/kernel:0"].transpose(3, 2, 0, 1)
            if f"{layer}/bias:0" in arrays:
                state[f"{name}.bias"] = arrays[f"{layer}/bias:0"]
        elif layer.startswith("dense_"):
            state[f"{name}.weight"] = arrays[f"{layer}/kernel:0"].T
            state[f"{name}.bias"] = arrays[f"{layer}/bias:0"]
        elif layer.startswith("batch_normalization_"):
            state |= {f"{name}.{ours}": arrays[f"{layer}/{theirs}:0"] for ours, theirs in NORM.items()}
            state[f"{name}.num_batches_tracked"] = np.array(0, np.int64)
        else:
            for suffix, direction in (("", "forward"), ("_reverse", "backward")):
                kernel = arrays[_find(arrays, layer, direction, "kernel")]
                recurrent = arrays[_find(arrays, layer, direction, "recurrent_kernel")]
                bias = arrays[_find(arrays, layer, direction, "bias")].reshape(2, -1)
                state[f"{name}.weight_ih_l0{suffix}"] = _gates(kernel).T
                state[f"{name}.weight_hh_l0{suffix}"] = _gates(recurrent).T
                state[f"{name}.bias_ih_l0{suffix}"] = _gates(bias)[0]
                state[f"{name}.bias_hh_l0{suffix}"] = _gates(bias)[1]
    return {key: torch.from_numpy(np.array(value, order="C")) for key, value in state.items()}


def keras_layers(settings: QrfactionSettings) -> Iterator[tuple[str, str]]:
    """(module of the network, Keras layer) for each, in Keras' order of creation."""
    model = Qrfaction(settings, 1)
    found = {
        "batch_normalization": ["gfeat_bn"],
        "bidirectional": ["gru1", "gru2"],
        "conv2d": [],
        "dense": [],
    }
    for part in [("stem", model.stem), *((f"blocks.{i}", block) for i, block in enumerate(model.blocks))]:
        for name, module in part[1].named_modules(prefix=part[0]):
            if isinstance(module, torch.nn.Conv2d):
                found["conv2d"].append(name)
            elif isinstance(module, torch.nn.BatchNorm2d):
                found["batch_normalization"].append(name)
            elif isinstance(module, torch.nn.Linear):
                found["dense"].append(name)
    found["dense"].append("head")
    for layer, names in found.items():
        yield from ((name, f"{layer}_{number}") for number, name in enumerate(names, 1))


def _gates(array: np.ndarray) -> np.ndarray:
    """Columns of the gates from Keras' order z, r, n to r, z, n."""
    update, reset, new = np.split(array, 3, axis=-1)
    return np.concatenate([reset, update, new], axis=-1)


def _find(arrays: Mapping[str, np.ndarray], layer: str, direction: str, kind: str) -> str:
    """The name of a recurrent array; Keras puts the wrapped layer's own name in the middle."""
    for key in arrays:
        parts = key.split("/")
        if parts[0] == layer and direction in key and parts[-1] == f"{kind}:0":
            return key
    raise KeyError(f"{layer}/{direction}.../{kind}:0")


def _load(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path}: {error}. Give an .npz of Keras arrays.") from error
