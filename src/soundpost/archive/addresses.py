"""Addresses such as s3://bucket/clip.flac, read by fsspec; everything without :// is a local path."""

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

from soundpost.contest.clips import AUDIO_SUFFIXES
from soundpost.errors import ClipError, SettingsError, sentence

FETCHERS = 8  # files fetched at once: most of the time of each is waiting


def is_remote(address: str) -> bool:
    """Whether it is to be fetched before it can be decoded."""
    return "://" in address


def join(base: str, path: str) -> str:
    """A path as it stands in a table, below the folder or address that it is relative to."""
    if is_remote(path) or Path(path).is_absolute() or not base:
        return path
    return f"{base.rstrip('/')}/{path}"


@contextmanager
def opened(address: str) -> Iterator[BinaryIO]:
    """A file to be read, wherever it lies.

    Raises:
        SettingsError: its kind of address needs a library that is not there.
        OSError: it cannot be read, whatever a library of addresses raises then.
    """
    if not is_remote(address):
        with Path(address).open("rb") as file:
            yield file
        return
    system, path = system_of(address)
    try:
        source = system.open(path, "rb")
    except OSError:
        raise
    except Exception as error:  # a library's own, as where there are no credentials
        raise OSError(sentence(error)) from error
    with source:
        yield source


def audio_below(address: str) -> list[tuple[str, str]]:
    """Name and address of every audio file that an address, a glob of addresses or a remote folder means.

    Raises:
        SettingsError: nothing there, or it cannot be listed.
    """
    system, path = system_of(address)
    try:
        if any(sign in path for sign in "*?["):
            found, base = sorted(system.glob(path)), path.partition("*")[0].rpartition("/")[0]
        elif system.isdir(path):
            found, base = sorted(system.find(path)), path
        else:
            found, base = [path] if system.exists(path) else [], path.rpartition("/")[0]
    except Exception as error:
        raise SettingsError(
            f"{address} cannot be listed ({sentence(error)}). Correct the address or the access to it."
        ) from error
    audio = [one for one in found if one == path or os.path.splitext(one)[1].lower() in AUDIO_SUFFIXES]
    if not audio:
        raise SettingsError(f"no audio file at {address}. Correct the address.")
    return [(one[len(base) :].lstrip("/"), str(system.unstrip_protocol(one))) for one in audio]


def fetch(address: str, folder: Path) -> Path:
    """A file where it can be decoded: a local path as it is, anything else copied into a folder of its own.

    Raises:
        ClipError: it cannot be fetched.
        SettingsError: its kind of address needs a library that is not there.
    """
    if not is_remote(address):
        return Path(address)
    folder.mkdir(parents=True, exist_ok=True)
    here = folder / (address.rstrip("/").rpartition("/")[2] or "clip")
    try:
        with opened(address) as source, here.open("wb") as copy:
            shutil.copyfileobj(source, copy)
    except SettingsError:
        raise
    except Exception as error:
        raise ClipError(f"{here.name}: cannot be fetched from {address} ({error}). Correct the address.") from error
    return here


def fetch_all(addresses: Sequence[str], folder: Path) -> list[Path | ClipError]:
    """Each address as a local path, or why it cannot be had; several are fetched at once."""

    def one(number: int) -> Path | ClipError:
        try:
            return fetch(addresses[number], folder / str(number))
        except ClipError as error:
            return error

    if not any(map(is_remote, addresses)):
        return [Path(address) for address in addresses]
    with ThreadPoolExecutor(FETCHERS) as pool:
        return list(pool.map(one, range(len(addresses))))


def has_threads() -> bool:
    """Whether a remote place has been asked in this process, so that threads are there and it must not be forked."""
    loops = sys.modules.get("fsspec.asyn")
    return loops is not None and loops.iothread[0] is not None


def system_of(address: str) -> tuple[Any, str]:
    """The file system of an address, and the path within it.

    Raises:
        SettingsError: there is no library for it.
    """
    try:
        system, path = import_module("fsspec.core").url_to_fs(address)
    except (ImportError, ValueError) as error:
        raise SettingsError(
            f"{address} cannot be read here: {error}. Run pip install 'soundpost[archive]', and for s3:// s3fs, for "
            "gs:// gcsfs."
        ) from error
    return system, path
