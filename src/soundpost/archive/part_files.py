"""TAGS.parquet: a folder of part files, each there whole or not at all.

A part holds the rows of the same clips in every run, so a run that was killed at any moment goes on with the parts
that are not there yet: no clip twice, none left out. A part grows in a file beside it, is flushed to the disk, and gets
its name last. Names that begin with an underscore are no parts, for whoever reads the folder.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from soundpost.archive.plan import Plan
from soundpost.errors import SettingsError

BOOK, LOCK, ASIDE = "_archive.json", "_lock", "_growing"


class PartFiles:
    """The parts of one plan in one folder. Made by opened()."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder = folder
        self._plan = plan

    def path(self, part: int) -> Path:
        """The file of a part."""
        return self.folder / f"part-{part:06}.parquet"

    def missing(self) -> list[int]:
        """Numbers of the parts that are not there, or cannot be read, in order."""
        return [part for part in range(self._plan.n_parts) if not self._is_there(part)]

    def _is_there(self, part: int) -> bool:
        try:
            return bool(pyarrow.parquet.read_metadata(self.path(part)).num_rows >= len(self._plan.items(part)))
        except (OSError, pa.ArrowInvalid):
            return False

    def features(self) -> int:
        """Length of the embeddings of the parts that are there; 0 where none has any."""
        for part in range(self._plan.n_parts):
            if self._plan.embedding and self._is_there(part):
                size = pyarrow.parquet.read_schema(self.path(part)).field("embedding").type.list_size
                if size:
                    return int(size)
        return 0

    def write(self, part: int, table: pa.Table) -> None:
        """Put a part there, whole or not at all.

        Raises:
            SettingsError: the disk is full or cannot be written; the parts before it stand.
        """
        aside = self.folder / f"{ASIDE}-{part:06}"
        try:
            with aside.open("wb") as file:
                pyarrow.parquet.write_table(table, file, compression="zstd")
                file.flush()
                os.fsync(file.fileno())
            aside.replace(self.path(part))
            _flush(self.folder)
        except OSError as error:
            raise SettingsError(
                f"{self.path(part)}: cannot be written ({error.strerror or error}). The parts before it stand: make "
                "room, and go on with --resume."
            ) from error
        finally:
            with suppress(OSError):
                aside.unlink(missing_ok=True)


@contextmanager
def opened(folder: Path, plan: Plan, resume: bool) -> Iterator[PartFiles]:
    """The folder of the parts, to be written by this process alone.

    Args:
        folder: TAGS.parquet; made where it is not there.
        plan: what is asked for.
        resume: whether parts that are there already are kept.

    Raises:
        SettingsError: there is something else, another plan's parts, parts that nobody spoke of, or another process.
    """
    try:
        if folder.exists() and not folder.is_dir():
            raise SettingsError(f"{folder} is a file, and a folder of part files is to be written. Name another --out.")
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / LOCK).open("w") as lock:
            _lock(lock.fileno(), folder)
            _keep_book(folder, plan, resume)
            for aside in folder.glob(f"{ASIDE}-*"):
                aside.unlink()
            yield PartFiles(folder, plan)
    except OSError as error:
        raise SettingsError(f"{folder}: cannot be written ({error.strerror or error}). Name another --out.") from error


def _lock(descriptor: int, folder: Path) -> None:
    """Lock for this process alone; workers that outlive a killed one by a moment do not inherit it."""
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise SettingsError(f"{folder} is being written by another process. Wait for it, or name another --out.") from (
            error
        )


def _keep_book(folder: Path, plan: Plan, resume: bool) -> None:
    """See that the folder is this plan's, or make it so."""
    book = folder / BOOK
    told = {"format": 1, "plan": plan.digest(), "clips": len(plan.clips), "part_clips": plan.part_clips}
    if book.is_file():
        try:
            found = json.loads(book.read_text())
        except ValueError as error:
            raise SettingsError(f"{book} is no book of an archive ({error}). Name another --out.") from error
        if not resume:
            raise SettingsError(
                f"{folder} is there already, {found.get('clips')} clips. Go on with --resume, or name another --out."
            )
        if found != told:
            raise SettingsError(
                f"{folder} belongs to other clips, weights or settings, so its parts do not fit. Repeat the call as it "
                "was, or name another --out."
            )
        return
    others = [path.name for path in folder.iterdir() if not path.name.startswith("_")]
    if others:
        raise SettingsError(f"{folder} holds {others[0]}, which no archive wrote. Name another --out.")
    aside = folder / (BOOK + ".part")
    aside.write_text(json.dumps(told) + "\n")
    aside.replace(book)


def _flush(folder: Path) -> None:
    """The folder's own entries reach the disk, too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
