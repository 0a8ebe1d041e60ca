"""The disk tier: one file per spilled array in a private folder, under a bound in whole blocks."""

from pathlib import Path

BLOCK = 4096


class DiskTier:
    """At most limit_bytes of files at every moment; a disk that fills up makes the tier smaller, never an error.

    Args:
        limit_bytes: bound of all files together; 0 gives a tier without room.
        folder: private folder, made when the first file is reserved.
    """

    def __init__(self, limit_bytes: int, folder: Path) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self.folder = folder

    def reserve(self, n_bytes: int, name: str) -> tuple[str, int] | None:
        """(path, room in bytes) for a new file; None when there is no room."""
        room = max(BLOCK, -(-n_bytes // BLOCK) * BLOCK)
        if self.used_bytes + room > self.limit_bytes:
            return None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            self.limit_bytes = self.used_bytes
            return None
        self.used_bytes += room
        return str(self.folder / name), room

    def free(self, path: str, room: int) -> None:
        """Remove a file, finished or half written, and take its room back."""
        Path(path).unlink(missing_ok=True)
        Path(path + ".part").unlink(missing_ok=True)
        self.used_bytes -= room

    def shrink(self) -> None:
        """The disk is full: what is used now is all there is."""
        self.limit_bytes = self.used_bytes

    def check(self, files: dict[str, tuple[int, int, bool]]) -> list[str]:
        """Every disagreement between the index and the folder.

        Args:
            files: path -> (bytes of the array, room, whether it has been committed), as the index has them.
        """
        found = []
        if sum(room for _, room, _ in files.values()) != self.used_bytes:
            found.append(f"disk: index holds {sum(r for _, r, _ in files.values())} bytes, tier says {self.used_bytes}")
        if self.used_bytes > self.limit_bytes:
            found.append(f"disk: {self.used_bytes} bytes used, limit {self.limit_bytes}")
        present = {str(p): p.stat().st_size for p in self.folder.iterdir()} if self.folder.is_dir() else {}
        for path, (n_bytes, _, committed) in sorted(files.items()):
            if committed and path not in present:
                found.append(f"disk: {Path(path).name} has vanished")
            elif committed and present[path] != max(1, n_bytes):
                found.append(f"disk: {Path(path).name} holds {present[path]} bytes, index says {n_bytes}")
        known = set(files) | {path + ".part" for path in files}
        found += [f"disk: {Path(path).name} is in no index" for path in sorted(set(present) - known)]
        return found
