"""What every sampler is, and how an epoch becomes batches."""

from collections.abc import Sequence
from typing import ClassVar, Protocol

from torch import Generator, Tensor


class Sampler(Protocol):
    """Chooses the clips of an epoch."""

    Settings: ClassVar[type]

    def __call__(self, sources: Sequence[str], targets: Tensor, generator: Generator) -> Tensor:
        """(draws,) int64 rows.

        Args:
            sources: name of the set of each clip.
            targets: (clips, classes).
            generator: on the processor.
        """
        ...


def cut(order: Tensor, size: int, drops_last: bool) -> list[Tensor]:
    """Batches of that size in that order; of what is left a smaller one, unless it is dropped.

    An epoch of less than one batch is shown as one, whether or not the last is dropped: nothing would train else. A
    single clip that is left joins the batch before it, as networks that normalise over clips cannot learn from one.
    """
    batches = list(order.split(size))
    if drops_last and len(batches) > 1 and len(batches[-1]) < size:
        batches.pop()
    elif len(batches) > 1 and len(batches[-1]) == 1 < size:
        batches[-2:] = [order[-size - 1 :]]
    return batches
