"""The file of a trained member: put in its place at once, and known again by the digest of its training."""

import hashlib
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from soundpost.training.state import same_training

DIGEST = "training"  # key of a member's file under which the digest of its training stands


def digest_of(*parts: object) -> str:
    """sha256 of everything that decides a member, in hexadecimal; arrays by their bytes, all else by its repr."""
    whole = hashlib.sha256()
    for part in parts:
        array = part.numpy() if isinstance(part, Tensor) else part
        if isinstance(array, np.ndarray):
            whole.update(repr((array.shape, str(array.dtype))).encode() + array.tobytes())
        else:
            whole.update(repr(array).encode())
    return whole.hexdigest()


def is_finished(file: Path, digest: str) -> bool:
    """Whether a member is there, whole; one that is cut off is named, and is to be trained again.

    Raises:
        SettingsError: one of another training is.
    """
    if not file.is_file():
        return False
    try:
        with safe_open(file, "pt") as known:
            found = (known.metadata() or {}).get(DIGEST, "none")
    except SafetensorError as error:
        tqdm.write(f"warning: {file} is damaged ({error}). The member is trained again.")
        return False
    same_training(file, found, digest)
    return True


def write_member(file: Path, network: nn.Module, digest: str) -> None:
    """Put a member in its place at once; a crash leaves none."""
    arrays = {name: value.contiguous().cpu() for name, value in network.state_dict().items()}
    aside = file.with_suffix(".part")
    save_file(arrays, aside, {DIGEST: digest})
    aside.replace(file)
