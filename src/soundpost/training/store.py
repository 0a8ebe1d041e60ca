"""Arrays of all clips in one file, read where they are wanted: what training hears, however long it is."""

import fcntl
import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from tqdm import tqdm

from soundpost.training.interrupt import Paused

INDEX, PARTIAL = "index.json", "partial.json"  # types and shapes of all arrays; of those that were made before a stop
FORMAT = "2"  # part of a folder's key, so that what another version made is made anew
ALIGNED = 8  # bytes, to a multiple of which every array begins
WAIT_SECONDS = 0.1  # between two tries to be alone in a folder

Layout = tuple[str, tuple[int, ...]]  # type and shape of an array


class Store:
    """Arrays one behind the other in a file that is mapped, not loaded."""

    def __init__(self, folder: Path) -> None:
        """Open what build has made."""
        self._layouts = _read_index(folder / INDEX)
        self._begins = np.cumsum([0, *map(_room, self._layouts)])
        self._bytes = np.memmap(folder / "values", np.uint8, "c", shape=(int(self._begins[-1]),))

    def __len__(self) -> int:
        """How many arrays."""
        return len(self._layouts)

    def __getitem__(self, row: int) -> np.ndarray:
        """One array, of the type that it was made with; nothing is copied."""
        dtype, shape = self._layouts[row]
        begin = self._begins[row]
        return self._bytes[begin : begin + _size(self._layouts[row])].view(dtype).reshape(shape)

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Shapes of all arrays."""
        return [shape for _, shape in self._layouts]


def build_store(
    folder: Path,
    key: Sequence[str],
    make: Callable[[int], np.ndarray],
    count: int,
    is_time: Callable[[], bool] = lambda: False,
) -> Store:
    """A store of arrays that make gives, one a row; taken as it is where it was made before with the same key.

    A call that is stopped while it makes them has made one at least, and the next one goes on behind the last.

    Args:
        folder: in which a folder with the key's digest is made.
        key: everything on which the arrays depend.
        make: row -> array, which is kept in its own type.
        count: rows.
        is_time: whether to stop before the next row.

    Raises:
        Paused: it was time, in the middle or while another process makes them.
    """
    home = folder / hashlib.sha256("\n".join([FORMAT, *key]).encode()).hexdigest()[:16]
    with alone(home, is_time):
        if not (home / INDEX).is_file():
            _build(home, make, count, is_time)
    return Store(home)


@contextmanager
def alone(folder: Path, is_time: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Nobody else who asks for the same folder is at work in this block, in whatever process; made if not there.

    Args:
        folder: which.
        is_time: whether to stop waiting.

    Raises:
        Paused: it was time, and another process is still at work there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        while not _is_locked(file):
            if is_time():
                raise Paused(f"waiting for another process, which is at work in {folder}")
            time.sleep(WAIT_SECONDS)
        yield


def _is_locked(file: IO[str]) -> bool:
    """Whether the lock could be had; it is the file's until that is closed."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _build(home: Path, make: Callable[[int], np.ndarray], count: int, is_time: Callable[[], bool]) -> None:
    layouts = _made_before(home)
    with (home / "values").open("r+b" if layouts else "wb") as file:
        file.seek(sum(map(_room, layouts)))
        file.truncate()
        for row in tqdm(range(len(layouts), count), "features", initial=len(layouts), total=count, unit="clip"):
            array = make(row)
            layout = str(array.dtype), array.shape
            file.write(array.tobytes() + bytes(_room(layout) - array.nbytes))
            layouts.append(layout)
            if len(layouts) < count and is_time():
                file.flush()
                _write_index(home / PARTIAL, layouts)
                raise Paused(f"features, {len(layouts)} of {count} clips")
    _write_index(home / INDEX, layouts)
    (home / PARTIAL).unlink(missing_ok=True)


def _made_before(home: Path) -> list[Layout]:
    """The arrays that a call which was stopped has left; none where not all of their bytes are there."""
    try:
        layouts = _read_index(home / PARTIAL)
        return layouts if (home / "values").stat().st_size >= sum(map(_room, layouts)) else []
    except (OSError, ValueError, KeyError):
        return []


def _size(layout: Layout) -> int:
    return math.prod(layout[1]) * np.dtype(layout[0]).itemsize


def _room(layout: Layout) -> int:
    """Bytes from one array to the next."""
    return math.ceil(_size(layout) / ALIGNED) * ALIGNED


def _read_index(path: Path) -> list[Layout]:
    return [(dtype, tuple(shape)) for dtype, shape in json.loads(path.read_text("utf-8"))["arrays"]]


def _write_index(path: Path, layouts: Sequence[Layout]) -> None:
    aside = path.with_suffix(".part")
    aside.write_text(json.dumps({"arrays": layouts}), encoding="utf-8")
    aside.replace(path)
