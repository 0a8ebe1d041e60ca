"""Batches of windows with equal frame counts under a cost budget: nothing padded, nobody lost, nobody twice.

Cost of a batch = windows x frames. Windows arrive as their clips become ready; a group leaves when it is full, when
nothing more of its length can come, or when a device would otherwise stand idle.
"""

from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

ROUND_SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)  # windows
SIZE_CHANGE = 0.2  # share by which a budget must change before batches follow it
KEPT_TOGETHER = 1.5  # times as many windows as a batch else may have, when one clip has them


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
        keeps_clips: whether the windows of a clip stay together where they can, because they share work.
        is_round: whether batches hold as many windows as one of ROUND_SIZES says, of which there are few, because each
            new shape costs a GPU; the rest waits, and leaves in smaller ones at the end.
    """

    def __init__(self, budget_frames: int, max_units: int, keeps_clips: bool = False, is_round: bool = False) -> None:
        self.budget_frames = budget_frames
        self.max_units = max_units
        self.keeps_clips = keeps_clips
        self.is_round = is_round
        self._waiting: OrderedDict[int, list[Unit]] = OrderedDict()
        self._expected: Counter[int] = Counter()
        self._open = 0  # clips whose lengths are not known yet

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    @property
    def waiting_frames(self) -> int:
        """Cost of all that waits."""
        return sum(frames * len(units) for frames, units in self._waiting.items())

    def follow(self, budget_frames: int, most_frames: int) -> None:
        """Let batches follow a new budget where it has changed by enough to be worth new shapes.

        Args:
            budget_frames: wished for.
            most_frames: what memory allows, which is never exceeded.
        """
        if abs(budget_frames - self.budget_frames) > SIZE_CHANGE * self.budget_frames:
            self.budget_frames = budget_frames
        self.budget_frames = min(self.budget_frames, most_frames)

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
        most = max(1, min(self.max_units, self.budget_frames // max(1, frames)))
        return _rounded(most) if self.is_round else most

    def _leave(self, frames: int) -> list[Unit]:
        units = self._waiting[frames]
        most = self._most(frames)
        if self.keeps_clips:
            most = min(self.max_units, _most_together(units, most))
        if self.is_round:
            most = _rounded(min(most, len(units)))
        batch, rest = units[:most], units[most:]
        if rest:
            self._waiting[frames] = rest
        else:
            del self._waiting[frames]
        return batch


def _rounded(count: int) -> int:
    """The largest of ROUND_SIZES up to a count of windows."""
    return max(size for size in ROUND_SIZES if size <= count)


def _most_together(units: Sequence[Unit], most: int) -> int:
    """How many of the first windows to take, about as many as allowed, so that clips come apart least.

    Args:
        units: waiting windows of one length, those of a clip one after the other.
        most: allowed; exceeded by up to KEPT_TOGETHER, rather than that a clip is divided.
    """
    if len(units) <= most:
        return most
    first = next((i for i, unit in enumerate(units) if unit.clip != units[0].clip), len(units))
    if first > most * KEPT_TOGETHER:
        batches = -(-first // most)
        return -(-first // batches)
    ends = [i for i in range(1, len(units)) if units[i].clip != units[i - 1].clip]
    return max([end for end in ends if end <= most], default=first)
