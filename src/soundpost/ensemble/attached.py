"""Weights that came as a dataset, found under the input folder by what is in them and not by what they are called.

A dataset is mounted in one of two layouts, and an upload may have put its files a folder deeper. So the folders are
searched, breadth first and within bounds, for files of the right size, and of these the sha256 decides.
"""

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from soundpost.ensemble.recipes import Member, Wheel
from soundpost.ensemble.weights_file import sha256_of
from soundpost.errors import WeightsError
from soundpost.resources.folders import walk_folders

MAX_DEPTH = 6  # folders below the input root: four in the new mount layout, two that an upload may have added
SHOWN = 20  # folders that an error lists


class Attached:
    """The input folder as far as it concerns these members; it is searched when the first of them is asked for.

    Args:
        root: /kaggle/input, or what stands for it.
        members: those that travel apart, with their sizes.
        dataset: owner/slug of the one that holds them, or code/owner/slug of a kernel whose output does, for messages;
            may be empty.
    """

    def __init__(self, root: Path, members: Sequence[Member | Wheel], dataset: str) -> None:
        self._root = root
        self._sizes = {member.n_bytes for member in members}
        self._names = {member.file for member in members}
        self._dataset = dataset
        self._by_size: dict[int, list[Path]] = defaultdict(list)
        self._by_name: dict[str, list[tuple[Path, int]]] = defaultdict(list)
        self._hashes: dict[Path, str] = {}
        self._folders: list[Path] = []
        self._is_searched = False

    def path(self, member: Member | Wheel) -> Path:
        """The file that holds a member.

        Raises:
            WeightsError: no file has its bytes; the message tells a cut or altered one from none at all.
        """
        if not self._is_searched:
            self._is_searched = True
            self._search()
        alike = self._by_size[member.n_bytes]
        found = next((path for path in alike if self._sha256(path) == member.sha256), None)
        if found is not None:
            return found
        what = f"{member.file} of {member.n_bytes:,} bytes is not under {self._root}"
        for path, n_bytes in self._by_name[member.file]:
            state = f"holds {n_bytes:,} of {member.n_bytes:,} bytes" if n_bytes != member.n_bytes else "was altered"
            what = f"{path} {state}"
        kind = "member " if isinstance(member, Member) else ""
        raise WeightsError(f"{kind}{member.name}: {what}. {self._advice()}")

    def contents(self) -> str:
        """What there is under the input folder, as a sentence for an error."""
        names = [path.relative_to(self._root).as_posix() for path in self._folders if path != self._root]
        shown = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more folders" if len(names) > SHOWN else "")
        return f"Under {self._root} there is: {shown or 'nothing'}. {self._advice()}"

    def _advice(self) -> str:
        owner, _, rest = self._dataset.partition("/")
        named = f"the dataset {self._dataset}" if self._dataset else "the dataset that was built with this kernel"
        named = f"the output of {rest}" if owner == "code" else named
        return f"Attach {named} in its newest version."

    def _sha256(self, path: Path) -> str:
        if path not in self._hashes:
            try:
                self._hashes[path] = sha256_of(path)
            except OSError:
                self._hashes[path] = ""
        return self._hashes[path]

    def _search(self) -> None:
        for listing in walk_folders(self._root, MAX_DEPTH):
            self._folders.append(listing.folder)
            folders = set(listing.folders())
            for entry in listing.entries:
                path = Path(entry.path)
                if path in folders:
                    continue
                n_bytes = _size(entry)
                if n_bytes in self._sizes:
                    self._by_size[n_bytes].append(path)
                if entry.name in self._names:
                    self._by_name[entry.name].append((path, n_bytes))


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size
    except OSError:
        return -1
