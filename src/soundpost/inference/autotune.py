"""Two ways to the same answers, tried on one real batch: how much faster the other one is, and how far it strays."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

HALF_BOUND = 5e-3  # largest change of a probability that half precision may cost; beyond it float32 is used
HALF_GAIN = 1.1  # times as fast, at least, for half precision to be worth its rounding
DECIDING_WINDOWS = {"cpu": 1, "cuda": 32}  # windows needed to decide; a core never sees many
LARGE_TIMES = 4  # times as many windows as decided, for a batch to decide once more
REPEATS = 3  # how often each way is timed, in turns; the best counts, as whatever disturbs makes it longer

Way = Callable[[], Tensor]


@dataclass(frozen=True)
class Trial:
    """How the other way did beside the usual one."""

    speed: float  # times as fast as the usual way; nan where that was not asked
    change: float  # largest difference of a probability; nan where an answer is no number


@torch.inference_mode()
def compare(usual: Way, other: Way, device: torch.device, is_timed: bool = True) -> Trial:
    """Try both ways on one batch, the first time for their answers, then for the seconds of the warm kernels.

    Args:
        usual: probabilities of the batch, as they are made now.
        other: the same, in the way that is to prove itself.
        device: the one on which both compute; on a CPU the calling thread does alone, and its own seconds are counted.
        is_timed: whether speed matters.
    """
    change = float((usual().float() - other().float()).abs().max())
    if not is_timed:
        return Trial(float("nan"), change)
    rounds = [(_seconds(usual, device), _seconds(other, device)) for _ in range(REPEATS)]
    slow, fast = (min(seconds) for seconds in zip(*rounds, strict=True))
    return Trial(slow / max(1e-9, fast), change)


def _seconds(way: Way, device: torch.device) -> float:
    if device.type == "cpu":  # other lanes share the cores; what they take is not this way's
        started = time.thread_time()
        way()
        return time.thread_time() - started
    torch.cuda.synchronize(device)
    started = time.perf_counter()
    way()
    torch.cuda.synchronize(device)
    return time.perf_counter() - started


class Choice:
    """Whether the members of a recipe compute in another way on one kind of device, decided once for the whole run.

    The first member's first batch decides for its recipe whether that is faster; each member's own first batch, whether
    its answers hold. A batch of LARGE_TIMES as many windows decides once more, on both. All devices of the kind follow.

    Args:
        least_gain: times as fast, at least; None where that does not matter, because the way was asked for by name.
        bound: largest change of a probability.
        tell: takes one sentence for the log about each member.
    """

    def __init__(self, least_gain: float | None, bound: float, tell: Callable[[str], None] = lambda _: None) -> None:
        self.lock = threading.Lock()
        self._least_gain = least_gain
        self._bound = bound
        self._tell = tell
        self._speed: float | None = None
        self._timed_windows = 0  # on which the speed was measured
        self._taken: dict[str, bool] = {}
        self._strayed: set[str] = set()  # members whose answers the other way has changed too much
        self._windows: dict[str, int] = {}  # on which each member was tried

    def takes(self, member: str, way: str, usual: Way, other: Way, device: torch.device, windows: int = 1) -> bool:
        """Whether a member computes in the other way; tried out when it is asked for the first time, or for many more.

        What has once strayed too far is never taken.

        Args:
            member: its name.
            way: the other one's name, for the log.
            usual: the first batch's probabilities as they are made now.
            other: the same in the other way.
            device: the one on which both compute.
            windows: in the batch.
        """
        if windows >= LARGE_TIMES * self._windows.get(member, 0):
            is_timed = self._least_gain is not None and windows >= LARGE_TIMES * self._timed_windows
            if self._is_too_slow and not is_timed:
                return False
            if member in self._strayed:
                return False
            trial = compare(usual, other, device, is_timed)
            self._windows[member] = windows
            if is_timed:
                self._speed, self._timed_windows = trial.speed, windows
            if not trial.change <= self._bound:
                self._strayed.add(member)
            self._taken[member] = member not in self._strayed and not self._is_too_slow
            pace = "" if self._speed is None else f"{self._speed:.2f} times as fast, "
            verdict = "taken" if self._taken[member] else "not taken"
            self._tell(f"{member}: {way} {verdict}: {pace}probabilities within {trial.change:.1g} ({windows} windows)")
        return self._taken.get(member, False)

    @property
    def _is_too_slow(self) -> bool:
        return self._least_gain is not None and self._speed is not None and self._speed < self._least_gain


def half_choice(must_gain: bool = False, tell: Callable[[str], None] = lambda _: None) -> Choice:
    """A choice of half precision in place of float32.

    Args:
        must_gain: it has to be HALF_GAIN times as fast; where it was asked for by name, it has not.
        tell: takes one sentence for the log about each member.
    """
    return Choice(HALF_GAIN if must_gain else None, HALF_BOUND, tell)
