"""TAGS.parquet: a folder of part files, each there whole or not at all.

A part holds the rows of the same clips in every run, so a run that was killed at any moment goes on with the parts
that are not there yet: no clip twice, none left out.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet

from soundpost.archive.part_places import Place, place_of
from soundpost.archive.plan import Plan
from soundpost.errors import SettingsError

BOOK = "_archive.json"


class PartFiles:
    """The parts of one plan in one place. Made by opened()."""

    def __init__(self, place: Place, plan: Plan) -> None:
        self._place = place
        self._plan = plan

    def missing(self) -> list[int]:
        """Numbers of the parts that are not there, or cannot be read, in order."""
        there = set(self._place.names())
        return [part for part in range(self._plan.n_parts) if _name(part) not in there or not self._is_whole(part)]

    def _is_whole(self, part: int) -> bool:
        try:
            with self._place.open(_name(part)) as file:
                return bool(pyarrow.parquet.read_metadata(file).num_rows >= len(self._plan.items(part)))
        except (OSError, pa.ArrowInvalid):
            return False

    def features(self) -> int:
        """Length of the embeddings of the parts that are there; 0 where none has any."""
        there = set(self._place.names()) if self._plan.embedding else set()
        for part in range(self._plan.n_parts):
            if _name(part) in there and self._is_whole(part):
                with self._place.open(_name(part)) as file:
                    size = pyarrow.parquet.read_schema(file).field("embedding").type.list_size
                if size:
                    return int(size)
        return 0

    def write(self, part: int, table: pa.Table) -> None:
        """Put a part there, whole or not at all.

        Raises:
            SettingsError: the disk is full or cannot be written; the parts before it stand.
        """

        def write(file: BinaryIO) -> None:
            pyarrow.parquet.write_table(table, file, compression="zstd")

        try:
            self._place.put(_name(part), write)
        except OSError as error:
            raise SettingsError(
                f"{self._place.name}/{_name(part)}: cannot be written ({error.strerror or error}). The parts before it "
                "stand: make room, and go on with --resume."
            ) from error


@contextmanager
def opened(out: str, plan: Plan, resume: bool) -> Iterator[PartFiles]:
    """The place of the parts, to be written by this process alone as far as the place allows.

    Args:
        out: TAGS.parquet, a path or an address; made where it is not there.
        plan: what is asked for.
        resume: whether parts that are there already are kept.

    Raises:
        SettingsError: there is something else, another plan's parts, parts that nobody spoke of, or another process.
    """
    place = place_of(out)
    with place.kept():
        _keep_book(place, plan, resume)
        yield PartFiles(place, plan)


def _name(part: int) -> str:
    return f"part-{part:06}.parquet"


def _keep_book(place: Place, plan: Plan, resume: bool) -> None:
    """See that the folder is this plan's, or make it so."""
    told = {"format": 1, "plan": plan.digest(), "clips": len(plan.clips), "part_clips": plan.part_clips}
    names = place.names()
    if BOOK in names:
        try:
            with place.open(BOOK) as file:
                found = json.loads(file.read())
        except ValueError as error:
            raise SettingsError(
                f"{place.name}/{BOOK} is no book of an archive ({error}). Name another --out."
            ) from error
        if not resume:
            raise SettingsError(
                f"{place.name} is there already, {found.get('clips')} clips. Go on with --resume, or name another "
                "--out."
            )
        if found != told:
            raise SettingsError(
                f"{place.name} belongs to other clips, weights or settings, so its parts do not fit. Repeat the call "
                "as it was, or name another --out."
            )
        return
    if others := [name for name in names if not name.startswith("_")]:
        raise SettingsError(f"{place.name} holds {others[0]}, which no archive wrote. Name another --out.")
    place.put(BOOK, lambda file: _write_json(file, told))


def _write_json(file: BinaryIO, told: dict[str, object]) -> None:
    file.write(json.dumps(told).encode() + b"\n")
