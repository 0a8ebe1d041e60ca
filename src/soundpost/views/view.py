"""What every view is: a clip's spectrogram cut into windows, each shown to the network once, answers averaged."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

from torch import Tensor

SHORTEST_PART = 64  # frames; the published networks that take any length need up to 63


@dataclass(frozen=True)
class Window:
    """One deterministic variant of a clip, described before any tensor exists.

    start may be negative and start + frames may pass the end: the view's own padding rule fills what is missing.
    """

    start: int  # first frame of the clip that is shown
    frames: int  # frames that the network sees
    weight: float = 1.0  # how much its answer counts in the clip's average
    variant: int = 0  # which shift, flip, zoom or mask, for views that have several
    row: int = 0  # which of the clip's rows it answers, where a clip is a stretch of a recording


class View(Protocol):
    """A rule that turns a clip's length into windows and a window into what the network sees."""

    Settings: ClassVar[type]

    settings: Any

    def windows(self, frames: int) -> tuple[Window, ...]:
        """The windows of a clip of that many frames; at least one, the same at every call."""
        ...

    def cut(self, spectrogram: Tensor, window: Window) -> Tensor:
        """One window of one clip: (channels, bins, frames) -> (channels, bins, window.frames). Input untouched."""
        ...

    def prepare(self, batch: Tensor) -> Tensor:
        """What is done to stacked windows on the device: (batch, channels, bins, frames) -> what the network takes."""
        ...


@runtime_checkable
class Divisible(Protocol):
    """A view whose windows may be shown in parts where memory is short: what it cuts has no length of its own."""

    shortest_part: int  # frames


@runtime_checkable
class Finishing(Protocol):
    """A view that computes its windows from plain pieces of a clip, which a GPU does for a whole batch at once."""

    def plain(self, spectrogram: Tensor, window: Window) -> Tensor:
        """The piece that a window is computed from, (channels, bins, window.frames)."""
        ...

    def finish(self, batch: Tensor, windows: Sequence[Window]) -> Tensor:
        """Stacked plain pieces, on any device -> what cut gives for each, float32."""
        ...


@runtime_checkable
class Unprepared(Protocol):
    """A view whose cut windows are a clip's own frames, and go to the network as they were cut."""

    is_unprepared: bool  # it is


@runtime_checkable
class Overlapping(Protocol):
    """A view whose windows show the same frames of a clip alike, so that a network need see them only once."""

    prepare_reach: int  # frames at each end of a prepared window that are not what a neighbour shows of them
    edge: int  # how many of these frames are cut otherwise already
    shared_step: int  # frames from one window to the next
