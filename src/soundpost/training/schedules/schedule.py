"""What every schedule is."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

from torch.optim import Optimizer


@dataclass(frozen=True)
class Length:
    """How long a stage is."""

    epochs: int
    batches: int  # those of an epoch

    @property
    def total(self) -> int:
        """Batches of the stage."""
        return self.epochs * self.batches


class Schedule(Protocol):
    """A learning-rate schedule of torch, or one of its kind; its state is in the checkpoint."""

    Settings: ClassVar[type]
    BY: ClassVar[Literal["batch", "epoch", "score"]]

    def __init__(self, optimiser: Optimizer, settings: Any, length: Length) -> None: ...

    def step(self, score: float | None = None) -> None:
        """On to the next batch or epoch."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Numbers and lists of numbers."""
        ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from where another one was."""
        ...
