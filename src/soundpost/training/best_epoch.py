"""Which epoch is kept, and when training stops because no better one came."""

from dataclasses import dataclass


@dataclass(frozen=True)
class BestEpochSettings:
    """What counts; epochs count from 0."""

    first: int = 0  # epoch from which scores are looked at
    above: float = float("-inf")  # a score must be greater than this to be kept at all
    patience: int = 0  # epochs in a row without a better one after which training stops; 0: never
    stop_from: int = 0  # epochs that are trained in any case


class BestEpoch:
    """Looks at one score after the other; an equal one is no better one.

    Sources: systems specifications of argus (18), qrfaction (10 from 35 on, kept from 28 on), simongrest (16),
    ex4sperans (greater than 0).
    """

    def __init__(self, settings: BestEpochSettings) -> None:
        self.settings = settings
        self.epoch = -1  # the epoch that is kept
        self.score = settings.above
        self.seen = 0  # epochs that were looked at or passed over

    def is_better(self, score: float) -> bool:
        """Take the next epoch's score; whether that epoch is the one to keep."""
        epoch, self.seen = self.seen, self.seen + 1
        if epoch < self.settings.first or not score > self.score:
            return False
        self.epoch, self.score = epoch, score
        return True

    def is_over(self) -> bool:
        """Whether training stops here."""
        patience, waited = self.settings.patience, self.seen - 1 - self.epoch
        return patience > 0 and self.seen >= self.settings.stop_from and waited >= patience

    def state_dict(self) -> dict[str, float]:
        """What a checkpoint needs."""
        return {"epoch": self.epoch, "score": self.score, "seen": self.seen}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Go on from where another one was."""
        self.epoch, self.score, self.seen = int(state["epoch"]), state["score"], int(state["seen"])


class SlowStarts:
    """Tells which epochs' first batch runs slower, as a plateau rule does beneath a cycle that sets every batch.

    Args:
        patience: epochs without a better score; the next one that is no better slows.

    Source: systems specification of simongrest.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self._best, self._waited = float("-inf"), 0

    def is_slow(self, score: float) -> bool:
        """Take an epoch's score; whether the first batch of the next epoch is slowed."""
        if score > self._best:
            self._best, self._waited = score, 0
            return False
        self._waited += 1
        if self._waited > self.patience:
            self._waited = 0
            return True
        return False

    def state_dict(self) -> dict[str, float]:
        """What a checkpoint needs."""
        return {"best": self._best, "waited": self._waited}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Go on from where another one was."""
        self._best, self._waited = state["best"], int(state["waited"])
