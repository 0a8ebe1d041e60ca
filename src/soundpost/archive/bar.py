"""How far an archive is: one bar over all of its clips, with its rate and what remains."""

import sys
from collections.abc import Callable
from typing import NoReturn

from tqdm import tqdm

from soundpost.engine.progress import Progress, Unfailing


class Bar:
    """Clips that are done, in a terminal as a bar, else as a line now and then.

    Args:
        total: clips of the archive.
        done: those that earlier runs have done.
        is_quiet: whether nothing is shown.
    """

    def __init__(self, total: int, done: int, is_quiet: bool) -> None:
        shown_every = 0.2 if sys.stderr.isatty() else 15.0
        self._settled = done
        self._bar: tqdm[NoReturn] = tqdm(
            total=total, initial=done, unit="clip", file=Unfailing(), mininterval=shown_every, disable=is_quiet
        )

    def show(self, clips: float) -> None:
        """So many clips' worth of the part that runs are done."""
        if (step := int(self._settled + clips) - self._bar.n) > 0:
            self._bar.update(step)

    def reach(self, clips: int) -> None:
        """A part of so many clips is over."""
        self._settled += clips
        if step := self._settled - self._bar.n:
            self._bar.update(step)

    def close(self) -> None:
        """Nothing more comes."""
        self._bar.close()


class PartProgress(Progress):
    """What the passes of one part tell, as a share of its clips on the bar.

    Args:
        bar: the archive's.
        clips: rows of the part.
        rounds: passes over them.
    """

    def __init__(self, bar: Bar, clips: int, rounds: int) -> None:
        super().__init__("none", 0.0, lambda: 0.0)
        self._archive_bar = bar
        self._share = 1 / max(1, rounds)
        self._over = 0.0  # clips' worth of the passes that are over
        self._clips = clips
        self._works = 1

    def begin(self, name: str, total: int) -> None:
        """A pass, or several that share their batches, begins."""
        numbers = name.partition(" of ")[0].removeprefix("passes ").split("-")
        self._works = int(numbers[1]) - int(numbers[0]) + 1 if len(numbers) == 2 else 1

    def at(self, count: int, left_seconds: Callable[[], float | None], note: Callable[[], str]) -> None:
        """So many clips of the pass have their answer."""
        self._archive_bar.show(self._over + count * self._share * self._works)

    def end(self) -> None:
        """The pass is over."""
        self._over += self._clips * self._share * self._works
