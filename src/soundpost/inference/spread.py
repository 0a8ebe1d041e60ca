"""Batches spread over devices, each of which has networks of its own."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TypeVar

from soundpost.ensemble.recipes import Recipe
from soundpost.inference.predictor import Predictor

Batch = TypeVar("Batch")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Lane:
    """One device, and its networks."""

    device: str
    predictors: list[tuple[Recipe, Predictor]]


def spread(
    lanes: Sequence[Lane], batches: Iterable[Batch], work: Callable[[Lane, Batch], Answer]
) -> Iterator[tuple[Batch, Answer]]:
    """Each batch and what work makes of it, in the order of the batches; a device that is free takes the next.

    Raises:
        Exception: whatever work raises, on any device; no batch is passed over.
    """
    if len(lanes) == 1:
        for batch in batches:
            yield batch, work(lanes[0], batch)
        return
    free: SimpleQueue[Lane] = SimpleQueue()
    for lane in lanes:
        free.put(lane)

    def one(batch: Batch) -> tuple[Batch, Answer]:
        lane = free.get()
        try:
            return batch, work(lane, batch)
        finally:
            free.put(lane)

    with ThreadPoolExecutor(len(lanes)) as pool:
        yield from pool.map(one, batches)
