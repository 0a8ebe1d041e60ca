"""A view of each row of a stretch of a recording: what a view does to a clip, done to the piece of every row."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from soundpost.views.view import Overlapping, Unprepared, View, Window


@dataclass(frozen=True)
class Piece:
    """Which frames of a stretch's spectrogram a row's network hears."""

    row: int  # number of the row in its stretch
    start: int  # first frame
    frames: int
    weight: float = 1.0  # what its answers count in the row's average


@dataclass(frozen=True)
class Overlap:
    """How the pieces of neighbouring rows show the same frames."""

    step: int  # frames from one piece to the next
    edge: int  # frames at each end of a piece that its neighbours show otherwise


@dataclass(frozen=True)
class RowWindow(Window):
    """A window of one piece, whose frames are counted from the piece's first."""

    piece: Piece = Piece(0, 0, 1)


class RowsView:
    """The windows of every row's piece, as the recipe's own view cuts them.

    Args:
        view: the recipe's own.
        pieces: those of a stretch whose spectrogram has so many frames.
        overlap: how they overlap, where all do alike; a network may then compute once what they share.
    """

    Settings: ClassVar[type] = object

    def __init__(self, view: View, pieces: Callable[[int], Sequence[Piece]], overlap: Overlap | None = None) -> None:
        self._view, self._pieces = view, pieces
        self.settings: Any = view.settings
        reach = view.prepare_reach if isinstance(view, Overlapping) else 0
        if overlap is not None and isinstance(view, (Overlapping, Unprepared)):  # then this view is Overlapping itself
            self.prepare_reach, self.edge, self.shared_step = reach + overlap.edge, overlap.edge, overlap.step

    def windows(self, frames: int) -> tuple[Window, ...]:
        """Those of all pieces, one piece after the other; weights are shares of a row."""
        found: list[Window] = []
        for piece in self._pieces(frames):
            windows = self._view.windows(piece.frames)
            total = sum(window.weight for window in windows)
            found += [
                RowWindow(w.start, w.frames, piece.weight * w.weight / total, w.variant, piece.row, piece)
                for w in windows
            ]
        return tuple(found)

    def cut(self, spectrogram: Tensor, window: Window) -> Tensor:
        """The window of its piece, cut as if the piece were a clip: nothing of another row is seen."""
        assert isinstance(window, RowWindow)
        piece = window.piece
        return self._view.cut(spectrogram[..., piece.start : piece.start + piece.frames], window)

    def prepare(self, batch: Tensor) -> Tensor:
        """What the recipe's view does to stacked windows."""
        return self._view.prepare(batch)
