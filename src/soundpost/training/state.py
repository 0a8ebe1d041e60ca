"""Checkpoints: written aside and renamed, and refused where something else would go on from them."""

import os
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from soundpost.errors import SettingsError, sentence


def save(path: Path, state: Mapping[str, Any], digest: str) -> None:
    """Put a checkpoint in its place at once; a crash leaves the former one.

    Args:
        path: where the checkpoint lies.
        state: tensors, numbers, strings, lists and dicts of these.
        digest: what everything comes to that decides how training goes.
    """
    aside = path.with_suffix(".part")
    with aside.open("wb") as file:
        torch.save({"digest": digest, "torch": str(torch.__version__), **state}, file)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


def load(path: Path, digest: str, device: torch.device) -> dict[str, Any]:
    """A checkpoint of the same training.

    Raises:
        SettingsError: it is of another plan, csv or seed, or cannot be read.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise SettingsError(f"{path}: no checkpoint ({sentence(error)}). Remove it to begin anew.") from error
    same_training(path, state.get("digest", "none"), digest)
    return state


def same_training(path: Path, found: str, wanted: str) -> None:
    """Refuse what another training has left.

    Raises:
        SettingsError: the digests differ; both are named.
    """
    if found != wanted:
        raise SettingsError(
            f"{path} is of another training: digest {found[:12]} there, {wanted[:12]} here (plan, csv, seed, fold). "
            "Give another --out, or remove the folder to begin anew."
        )
