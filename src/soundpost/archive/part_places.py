"""Where the parts of an archive lie: a local folder, or one at an address such as s3://bucket/TAGS.parquet.

A file is there whole or not at all. Locally it grows beside its place, is flushed to the disk, and gets its name last;
an object store shows what is put there when all of it has come.
"""

import fcntl
import io
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from soundpost.archive import addresses
from soundpost.errors import KitError, SettingsError, sentence

LOCK, ASIDE = "_lock", "_growing"  # names that begin with an underscore are no parts, for whoever reads the folder
Write = Callable[[BinaryIO], None]


class Place(Protocol):
    """A folder of files that come whole."""

    name: str  # as a person wrote it

    def kept(self) -> AbstractContextManager[None]:
        """The folder made, and kept for this process as far as the place allows.

        Raises:
            SettingsError: it cannot be written, or another process writes it.
        """
        ...

    def names(self) -> list[str]:
        """What lies there, in order."""
        ...

    def open(self, name: str) -> AbstractContextManager[BinaryIO]:
        """A file to be read.

        Raises:
            OSError: it cannot be.
        """
        ...

    def put(self, name: str, write: Write) -> None:
        """A file by what writes it.

        Raises:
            OSError: it cannot be written.
            SettingsError: its address refuses it.
        """
        ...


def place_of(out: str) -> Place:
    """The folder that a path or an address means."""
    if addresses.is_remote(out) and not out.startswith("file://"):
        return RemotePlace(out)
    return LocalPlace(Path(out.removeprefix("file://")))


class LocalPlace:
    """A folder of this machine; it keeps the protocol Place."""

    def __init__(self, folder: Path) -> None:
        self.name = str(folder)
        self._folder = folder

    @contextmanager
    def kept(self) -> Iterator[None]:
        """The folder for this process alone; see Place."""
        folder = self._folder
        try:
            if folder.exists() and not folder.is_dir():
                raise SettingsError(
                    f"{folder} is a file, and a folder of part files is to be written. Name another --out."
                )
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / LOCK).open("w") as lock:
                self._lock(lock.fileno())
                for aside in folder.glob(f"{ASIDE}-*"):
                    aside.unlink()
                yield
        except OSError as error:
            where = error.filename or folder  # what the engine writes beside is no part of it
            raise SettingsError(f"{where}: cannot be written ({error.strerror or error}). Make room there.") from error

    def _lock(self, descriptor: int) -> None:
        """Lock for this process alone; workers that outlive a killed one by a moment do not inherit it."""
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise SettingsError(
                f"{self.name} is being written by another process. Wait for it, or name another --out."
            ) from error

    def names(self) -> list[str]:
        """What lies there, in order."""
        return sorted(path.name for path in self._folder.iterdir())

    def open(self, name: str) -> BinaryIO:
        """A file to be read."""
        return (self._folder / name).open("rb")

    def put(self, name: str, write: Write) -> None:
        """A file by what writes it, flushed to the disk before it has its name."""
        aside = self._folder / f"{ASIDE}-{name}"
        try:
            with aside.open("wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(self._folder / name)
            _flush(self._folder)
        finally:
            with suppress(OSError):
                aside.unlink(missing_ok=True)


class RemotePlace:
    """A folder at an address that fsspec writes; it keeps the protocol Place.

    Nobody can be kept out of it. Two processes that write the same archive do the same work twice, and each part is
    that of whoever came last.
    """

    def __init__(self, address: str) -> None:
        self.name = address.rstrip("/")
        self._system: Any = None
        self._path = ""

    @contextmanager
    def kept(self) -> Iterator[None]:
        """The address found, see Place; folders come with what is put into them."""
        self._system, self._path = addresses.system_of(self.name)
        yield

    def names(self) -> list[str]:
        """What lies there, in order; nothing where there is no such folder yet."""
        with self._told("cannot be listed"):
            self._system.invalidate_cache()
            try:
                found = self._system.ls(self._path, detail=False)
            except FileNotFoundError:
                return []
            return sorted(str(path).rstrip("/").rpartition("/")[2] for path in found if str(path) != self._path)

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """A file to be read."""
        with self._told("cannot be read"):
            content = self._system.cat_file(f"{self._path}/{name}")
        yield io.BytesIO(content)

    def put(self, name: str, write: Write) -> None:
        """A file by what writes it, sent when all of it is there."""
        content = io.BytesIO()
        write(content)
        with self._told("cannot be written"):
            self._system.pipe_file(f"{self._path}/{name}", content.getvalue())

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """Whatever a library of addresses raises, as a sentence."""
        try:
            yield
        except KitError:
            raise
        except FileNotFoundError:
            if what == "cannot be listed":
                raise
            raise SettingsError(
                f"{self.name} {what}: there is no such place. Correct the address, or make the bucket."
            ) from None
        except Exception as error:
            raise SettingsError(
                f"{self.name} {what} ({sentence(error)}). Correct the address or the access to it."
            ) from error


def _flush(folder: Path) -> None:
    """The folder's own entries reach the disk, too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
