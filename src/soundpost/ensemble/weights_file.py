"""A member's file -> its named arrays, after its sha256 was found to be the recipe's; nothing in it is executed."""

import hashlib
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from soundpost.ensemble.pack_format import unpack
from soundpost.errors import WeightsError


def load_arrays(path: Path, sha256: str, member: str) -> dict[str, np.ndarray]:
    """The arrays of one member by name, as its network's state dict calls them.

    Args:
        path: a .safetensors file, or a .pack file such as a kernel carries.
        sha256: what the file must have, as the recipe says, in hex.
        member: recipe/fold, for messages.

    Raises:
        WeightsError: the file is missing, altered, or neither safetensors nor a pack.
    """
    if not path.is_file():
        raise WeightsError(
            f"member {member}: {path} is not there. Put the file back, or leave the member out by members."
        )
    found = sha256_of(path)
    if found != sha256:
        raise WeightsError(
            f"member {member}: {path} has sha256 {found[:12]}..., the recipe has {sha256[:12]}...: another file, or a "
            f"part of it ({path.stat().st_size} bytes). Take the file the recipe was written with."
        )
    if path.suffix == ".pack":
        return unpack(path.read_bytes(), f"member {member}: {path}")
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"member {member}: {path} is not safetensors ({error}). Import it again.") from error


def sha256_of(path: Path) -> str:
    """The sha256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
