"""Which of several ways to a member's answers is taken: the fastest on its first real windows of those that agree.

torch computes once what overlapping windows share, and no runtime does. Where a runtime was taken, the first windows
that overlap decide once more, for windows that lie like these.
"""

import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from soundpost.errors import sentence
from soundpost.inference.backends.opening import AUTO

BOUND = 1e-3  # largest difference of a probability from the first way's
LEAST_GAIN = 1.05  # times as fast as the first way, at least; less may be noise
REPEATS = 5  # rounds in which every way has a turn; the best one counts, as whatever disturbs makes it longer

Way = Callable[[], Tensor]
Overlap = tuple[int, int]  # frames of a window, and from one to the next


class BackendChoice:
    """The runtime of a recipe's members, decided once for the whole run, by one lane for all.

    The first member's first windows decide which way is fastest; each member's own first windows, whether its answers
    agree. A way that raises or differs is not tried again for this recipe, and is told.

    Args:
        asked: "auto", or the runtime that is taken whatever its speed; its difference is told all the same.
        tell: takes one sentence for the log.
    """

    def __init__(self, asked: str = AUTO, tell: Callable[[str], None] = lambda _: None) -> None:
        self._asked = asked
        self.tell = tell
        self._speed: dict[str, float] = {}  # times as fast as the first way
        self._overlap_speed: dict[tuple[str, Overlap], float] = {}  # the same where the first way shares windows' work
        self._failed: set[str] = set()

    @torch.inference_mode()
    def take(self, member: str, ways: Mapping[str, Way], exact: Way | None = None) -> str:
        """The name of the way that this member takes.

        Args:
            member: its name.
            ways: each gives the probabilities (windows, classes) of the same first windows; the first one is taken
                where none of the others is better. It may be the only one.
            exact: the probabilities that the others are held to; None: the first way's, which is exact itself.
        """
        first, *others = ways
        if not others:
            return first
        usual = (exact or ways[first])()
        if not self._speed:
            self._measure(member, ways, usual)
        ranking = sorted((n for n in others if n not in self._failed), key=lambda n: -self._speed.get(n, 0.0))
        for name in ranking:
            if self._asked == AUTO and self._speed[name] < LEAST_GAIN:
                break
            difference = self._difference(member, name, ways[name], usual)
            if difference is None:
                continue
            taken = difference <= BOUND or self._asked == name
            self.tell(
                f"{member}: {name} {'taken' if taken else 'not taken'} in place of {first}: {self._speed[name]:.2f} "
                f"times as fast, probabilities within {difference:.1g}"
            )
            if taken:
                return name
            self._failed.add(name)
        return first

    def is_open(self, name: str, overlap: Overlap) -> bool:
        """Whether it is still to be measured who is faster with windows that overlap so."""
        return self._asked == AUTO and (name, overlap) not in self._overlap_speed

    @torch.inference_mode()
    def compare_overlapping(self, member: str, name: str, overlap: Overlap, runtime: Way, sharing: Way) -> None:
        """Measure the way that was taken against the first one, which computes once what windows share.

        Args:
            member: whose windows they are.
            name: the way that was taken.
            overlap: how the windows lie.
            runtime: its answers.
            sharing: the first way, as it answers windows that overlap.
        """
        rounds = [(_seconds(sharing), _seconds(runtime)) for _ in range(1 + REPEATS)][1:]  # the first one warms up
        usual, other = (min(seconds) for seconds in zip(*rounds, strict=True))
        speed = self._overlap_speed[name, overlap] = usual / max(1e-9, other)
        answers = name if speed >= LEAST_GAIN else "torch"
        self.tell(
            f"{member}: windows of {overlap[0]} frames every {overlap[1]}, whose common work torch does once: {name} "
            f"{speed:.2f} times as fast; {answers} answers those"
        )

    def is_slower(self, name: str, overlap: Overlap, windows: int, overlapping: int) -> bool:
        """Whether the way that was taken would take longer over a batch than the first one, which shares work.

        Args:
            name: the way that was taken.
            overlap: how most windows lie.
            windows: how many the batch has.
            overlapping: so many of them share their work.
        """
        speed = self._overlap_speed.get((name, overlap))
        if speed is None:
            return False
        usual = (windows - overlapping) * self._speed[name] + overlapping * speed  # how many windows the way would do
        return usual < LEAST_GAIN * windows

    def _measure(self, member: str, ways: Mapping[str, Way], usual: Tensor) -> None:
        """Speeds of all ways, in turns; those that raise are left out."""
        first, *others = ways
        for name in others:  # the first call of each warms it up
            self._difference(member, name, ways[name], usual)
        able = [name for name in ways if name not in self._failed]
        rounds = [{name: _seconds(ways[name]) for name in able} for _ in range(REPEATS)]
        best = {name: min(seconds[name] for seconds in rounds) for name in able}
        self._speed = {name: best[first] / max(1e-9, best[name]) for name in able}
        self.tell(
            f"{member}: one batch of {len(usual)} windows: "
            + ", ".join(f"{name} {1e3 * seconds:.1f} ms" for name, seconds in best.items())
        )

    def _difference(self, member: str, name: str, way: Way, usual: Tensor) -> float | None:
        """Largest difference of a probability; None, and it is told, where the way gives no such answers."""
        try:
            answer = way()
            if answer.shape != usual.shape:
                raise RuntimeError(f"answers {tuple(answer.shape)} where {tuple(usual.shape)} is right")
            return float((answer - usual).abs().max())
        except (RuntimeError, MemoryError) as error:
            self._failed.add(name)
            self.tell(f"{member}: {name} not taken: {sentence(error)}")
            return None


def _seconds(way: Way) -> float:
    started = time.perf_counter()  # wall clock, as a runtime may compute in a thread of its own
    way()
    return time.perf_counter() - started
