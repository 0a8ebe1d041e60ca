"""A sound file as it should have been: stretches of the file on disk and bytes of our own, read as one.

Nothing is copied and nothing is written: a zeroed size, a foreign first word or three thousand bytes of junk in the
middle are replaced or left out while the decoder reads.
"""

import io
import os
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

Piece = bytes | range  # bytes of our own, or a range of positions in the file, of step 1


class MendedFile(io.RawIOBase):
    """Pieces as one readable, seekable binary file.

    Args:
        path: the file on disk that ranges speak of.
        pieces: in order; the ranges lie within the file.
    """

    def __init__(self, path: Path, pieces: Sequence[Piece]) -> None:
        self._disk = path.open("rb")
        self._pieces = [piece for piece in pieces if len(piece)]
        self._starts = [0, *accumulate(len(piece) for piece in self._pieces)]
        self._at = 0

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position, which is never before the first byte."""
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._starts[-1]}[whence]
        self._at = max(0, origin + offset)
        return self._at

    def tell(self) -> int:
        """Where the next byte comes from."""
        return self._at

    def readinto(self, buffer: object) -> int:
        """Fill a buffer as far as there are bytes."""
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        filled = 0
        while filled < len(view) and self._at < self._starts[-1]:
            number = bisect_right(self._starts, self._at) - 1
            piece, inside = self._pieces[number], self._at - self._starts[number]
            count = min(len(view) - filled, len(piece) - inside)
            if isinstance(piece, bytes):
                view[filled : filled + count] = piece[inside : inside + count]
            else:
                self._disk.seek(piece.start + inside)
                count = self._disk.readinto(view[filled : filled + count])
                if count == 0:
                    break
            filled += count
            self._at += count
        return filled

    def close(self) -> None:
        """Close the file on disk too."""
        self._disk.close()
        super().close()
