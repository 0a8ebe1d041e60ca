"""Arrays of all clips in one file, read where they are wanted: what training hears, however long it is."""

import fcntl
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from tqdm import tqdm


class Store:
    """Arrays one behind the other in a file that is mapped, not loaded."""

    def __init__(self, folder: Path) -> None:
        """Open what build has made."""
        index = json.loads((folder / "index.json").read_text("utf-8"))
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


def build_store(folder: Path, key: Sequence[str], dtype: str, make: Callable[[int], np.ndarray], count: int) -> Store:
    """A store of arrays that make gives, one a row; taken as it is where it was made before with the same key.

    Args:
        folder: in which a folder with the key's digest is made.
        key: everything on which the arrays depend.
        dtype: in which they are kept.
        make: row -> array.
        count: rows.
    """
    home = folder / hashlib.sha256("\n".join(key).encode()).hexdigest()[:16]
    with alone(home):
        if not (home / "index.json").is_file():
            _build(home, dtype, make, count)
    return Store(home)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Nobody else who asks for the same folder is at work in this block, in whatever process; made if not there."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build(home: Path, dtype: str, make: Callable[[int], np.ndarray], count: int) -> None:
    shapes = []
    with (home / "values").open("wb") as file:
        for row in tqdm(range(count), desc="features", unit="clip"):
            array = np.ascontiguousarray(make(row), np.dtype(dtype))
            file.write(array.tobytes())
            shapes.append(array.shape)
    aside = home / "index.part"
    aside.write_text(json.dumps({"dtype": dtype, "shapes": shapes}), encoding="utf-8")
    aside.replace(home / "index.json")
