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

INDEX, PARTIAL = "index.json", "partial.json"  # shapes of all arrays; of those that were made before a stop
WAIT_SECONDS = 0.1  # between two tries to be alone in a folder


class Store:
    """Arrays one behind the other in a file that is mapped, not loaded."""

    def __init__(self, folder: Path) -> None:
        """Open what build has made."""
        index = json.loads((folder / INDEX).read_text("utf-8"))
        self._shapes = [tuple(shape) for shape in index["shapes"]]
        sizes = [int(np.prod(shape)) for shape in self._shapes]
        self._begins = np.concatenate([[0], np.cumsum(sizes)])
        self._values = np.memmap(folder / "values", np.dtype(index["dtype"]), "c", shape=(int(self._begins[-1]),))

    def __len__(self) -> int:
        """How many arrays."""
        return len(self._shapes)

    def __getitem__(self, row: int) -> np.ndarray:
        """One array, in the file's own precision; nothing is copied."""
        return self._values[self._begins[row] : self._begins[row + 1]].reshape(self._shapes[row])

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Shapes of all arrays."""
        return self._shapes


def build_store(
    folder: Path,
    key: Sequence[str],
    dtype: str,
    make: Callable[[int], np.ndarray],
    count: int,
    is_time: Callable[[], bool] = lambda: False,
) -> Store:
    """A store of arrays that make gives, one a row; taken as it is where it was made before with the same key.

    A call that is stopped while it makes them has made one at least, and the next one goes on behind the last.

    Args:
        folder: in which a folder with the key's digest is made.
        key: everything on which the arrays depend.
        dtype: in which they are kept.
        make: row -> array.
        count: rows.
        is_time: whether to stop before the next row.

    Raises:
        Paused: it was time, in the middle or while another process makes them.
    """
    home = folder / hashlib.sha256("\n".join(key).encode()).hexdigest()[:16]
    with alone(home, is_time):
        if not (home / INDEX).is_file():
            _build(home, dtype, make, count, is_time)
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


def _build(home: Path, dtype: str, make: Callable[[int], np.ndarray], count: int, is_time: Callable[[], bool]) -> None:
    shapes = _made_before(home, dtype)
    with (home / "values").open("r+b" if shapes else "wb") as file:
        file.seek(_n_bytes(shapes, dtype))
        file.truncate()
        for row in tqdm(range(len(shapes), count), "features", initial=len(shapes), total=count, unit="clip"):
            array = np.ascontiguousarray(make(row), np.dtype(dtype))
            file.write(array.tobytes())
            shapes.append(array.shape)
            if len(shapes) < count and is_time():
                file.flush()
                _write_index(home / PARTIAL, dtype, shapes)
                raise Paused(f"features, {len(shapes)} of {count} clips")
    _write_index(home / INDEX, dtype, shapes)
    (home / PARTIAL).unlink(missing_ok=True)


def _made_before(home: Path, dtype: str) -> list[tuple[int, ...]]:
    """Shapes of the arrays that a call which was stopped has left; none where not all of their bytes are there."""
    try:
        shapes = [tuple(shape) for shape in json.loads((home / PARTIAL).read_text("utf-8"))["shapes"]]
        return shapes if (home / "values").stat().st_size >= _n_bytes(shapes, dtype) else []
    except (OSError, ValueError, KeyError):
        return []


def _n_bytes(shapes: Sequence[tuple[int, ...]], dtype: str) -> int:
    return sum(math.prod(shape) for shape in shapes) * np.dtype(dtype).itemsize


def _write_index(path: Path, dtype: str, shapes: Sequence[tuple[int, ...]]) -> None:
    aside = path.with_suffix(".part")
    aside.write_text(json.dumps({"dtype": dtype, "shapes": shapes}), encoding="utf-8")
    aside.replace(path)
