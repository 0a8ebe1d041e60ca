"""Checkpoints: two generations, each with the sha256 of its bytes, and none taken for another training's."""

import hashlib
import io
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from soundpost.errors import SettingsError, sentence

Say = Callable[[str], None]
SEAL_BYTES = hashlib.sha256().digest_size  # torch.load does not notice a flipped bit, so the sha256 stands behind


def save(path: Path, state: Mapping[str, Any], digest: str, say: Say = print) -> bool:
    """Put a checkpoint in its place at once; the former one stays beside it, and a crash leaves one of the two.

    Args:
        path: where the checkpoint lies.
        state: tensors, numbers, strings, lists and dicts of these.
        digest: what everything comes to that decides how training goes.
        say: gets a line when there is no room even after the former one was given up.

    Returns:
        Whether it was written.
    """
    held = io.BytesIO()
    torch.save({"digest": digest, "torch": str(torch.__version__), **state}, held)
    for attempt in range(2):
        try:
            _write(path, held)
            return True
        except OSError as error:
            path.with_suffix(".part").unlink(missing_ok=True)
            reason = error.strerror
            if attempt == 0:
                former(path).unlink(missing_ok=True)  # on a full disk its room is what there is
    say(f"warning: {path} could not be written ({reason}); training goes on without it. Make room.")
    return False


def former(path: Path) -> Path:
    """Where the checkpoint before the newest one lies."""
    return path.with_name(f"{path.name}.before")


def discard(path: Path) -> None:
    """Remove both generations, which a finished member does not need."""
    path.unlink(missing_ok=True)
    former(path).unlink(missing_ok=True)


def latest(path: Path, digest: str, device: torch.device, say: Say = print) -> dict[str, Any] | None:
    """The newest checkpoint that is whole; None where there is none. A damaged one is named and passed over.

    Args:
        path: where the newest one lies.
        digest: the training's.
        device: where its tensors go.
        say: gets a line for each damaged one.

    Raises:
        SettingsError: one that is whole is of another plan, csv or seed.
    """
    for place in (path, former(path)):
        if not place.is_file():
            continue
        try:
            return load(place, digest, device)
        except Damaged as error:
            say(f"warning: {error}. It is passed over, and removed.")
            with suppress(OSError):
                place.unlink()
    return None


class Damaged(Exception):
    """A checkpoint that is cut off or altered."""


def load(path: Path, digest: str, device: torch.device) -> dict[str, Any]:
    """A checkpoint of the same training.

    Raises:
        Damaged: its bytes are not those that were written.
        SettingsError: it is of another plan, csv or seed.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Damaged(f"{path} cannot be read ({error.strerror})") from error
    body, seal = data[:-SEAL_BYTES], data[-SEAL_BYTES:]
    if hashlib.sha256(body).digest() != seal:
        raise Damaged(f"{path} is damaged: {len(data):,} bytes that are not those that were written")
    try:
        state: dict[str, Any] = torch.load(io.BytesIO(body), map_location=device, weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, ValueError, LookupError) as error:
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


def _write(path: Path, held: io.BytesIO) -> None:
    aside = path.with_suffix(".part")
    with aside.open("wb") as file:
        file.write(held.getbuffer())
        file.write(hashlib.sha256(held.getbuffer()).digest())
        file.flush()
        os.fsync(file.fileno())
    if path.is_file():
        path.replace(former(path))
    aside.replace(path)
