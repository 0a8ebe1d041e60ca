"""Batches of windows with equal frame counts under a cost budget: nothing padded, nobody lost, nobody twice.

Cost of a batch = windows x frames. Windows arrive as their clips become ready; a group leaves when it is full, when
nothing more of its length can come, or when a device would otherwise stand idle.
"""

from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Unit:
    """One window of one clip, known by its length alone."""

    clip: int
    window: int  # index among the clip's windows
    frames: int
    turn: int = 0  # how often the clip had been made ready before, in this pass


class Groups:
    """Windows that wait for mates of the same length.

    Args:
        budget_frames: most windows x frames in a batch; a single longer window still travels, alone.
        max_units: most windows in a batch.
    """

    def __init__(self, budget_frames: int, max_units: int) -> None:
        self.budget_frames = budget_frames
        self.max_units = max_units
        self._waiting: OrderedDict[int, list[Unit]] = OrderedDict()
        self._expected: Counter[int] = Counter()
        self._open = 0  # clips whose lengths are not known yet

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    @property
    def waiting_frames(self) -> int:
        """Cost of all that waits."""
        return sum(frames * len(units) for frames, units in self._waiting.items())

    def expect(self, lengths: Counter[int], unknown_clips: int = 0) -> None:
        """Say what will come: so many windows of each length, and so many clips of unknown length."""
        self._expected = Counter(lengths)
        self._open = unknown_clips

    def add(self, units: list[Unit], known: bool) -> None:
        """All windows of one clip, which is ready now.

        Args:
            units: at least one.
            known: whether expect() counted them by length (or only their clip, as unknown).
        """
        for unit in units:
            self._waiting.setdefault(unit.frames, []).append(unit)
            if known:
                self._expected[unit.frames] -= 1
        if not known:
            self._open -= 1

    def cancel(self) -> None:
        """One clip of unknown length will not come."""
        self._open -= 1

    def reopen(self) -> None:
        """A clip that has been here comes once more, its length unknown again."""
        self._open += 1

    def put_back(self, units: Sequence[Unit]) -> None:
        """Windows that left in a batch and were not answered, because their device was lost, wait again."""
        for unit in units:
            self._waiting.setdefault(unit.frames, []).append(unit)

    def remove(self, clip: int) -> None:
        """Nothing of this clip waits any more."""
        for frames, units in list(self._waiting.items()):
            rest = [unit for unit in units if unit.clip != clip]
            if rest:
                self._waiting[frames] = rest
            else:
                del self._waiting[frames]

    def take(self, hungry: bool) -> list[Unit]:
        """The next batch; empty when it is better, or necessary, to wait.

        Args:
            hungry: a device has nothing to do, so any batch is better than none.
        """
        for frames, units in self._waiting.items():
            if len(units) >= self._most(frames):
                return self._leave(frames)
        if self._open <= 0:
            for frames in self._waiting:
                if self._expected[frames] <= 0:
                    return self._leave(frames)
        if hungry and self._waiting:
            return self._leave(max(self._waiting, key=lambda frames: frames * len(self._waiting[frames])))
        return []

    def _most(self, frames: int) -> int:
        return max(1, min(self.max_units, self.budget_frames // max(1, frames)))

    def _leave(self, frames: int) -> list[Unit]:
        units = self._waiting[frames]
        most = self._most(frames)
        batch, rest = units[:most], units[most:]
        if rest:
            self._waiting[frames] = rest
        else:
            del self._waiting[frames]
        return batch
