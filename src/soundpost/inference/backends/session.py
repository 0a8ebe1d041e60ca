"""The contract of every runtime: a graph as bytes, then arrays in and arrays out, from as many lanes as there are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

OUT_OF_MEMORY = ("bad_alloc", "bad allocation", "Failed to allocate", "out of memory", "can't allocate memory")


@dataclass(frozen=True)
class Port:
    """One input or output of a graph, as the file describes it."""

    name: str
    dtype: str  # as numpy calls it: "float32", "int64", ...
    shape: tuple[int | str, ...]  # a number where the axis has one length, its name (or "") where it may have any

    def __str__(self) -> str:
        return f"{self.name} {self.dtype} ({', '.join(str(size or '?') for size in self.shape)})"


class Session(Protocol):
    """A graph that one runtime has loaded.

    Every call computes with one thread, and calls of several lanes run beside each other. Nothing is kept of a call:
    the memory of intermediate arrays goes back at its end, whatever the lengths of its inputs were.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]

    def __init__(self, graph: bytes, lanes: int = 1) -> None:
        """Load a graph.

        Args:
            graph: the bytes of an .onnx file.
            lanes: calls that may run beside each other.

        Raises:
            ImportError: the runtime is not installed.
            WeightsError: it cannot load the graph; the message has its words.
        """
        ...

    def run(self, arrays: Mapping[str, np.ndarray], outputs: Sequence[str]) -> list[np.ndarray]:
        """The outputs of these names, in this order.

        Args:
            arrays: one for every input, by name, in the input's dtype.
            outputs: which ones are wanted.

        Raises:
            MemoryError: no room for it.
            RuntimeError: the graph does not take these arrays; the message has the runtime's words.
        """
        ...


def runtime_error(runtime: str, error: Exception) -> Exception:
    """What a runtime raised, as MemoryError where it had no room and as RuntimeError elsewhere, with its last words."""
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError) or any(words in text for words in OUT_OF_MEMORY):
        return MemoryError(f"{runtime}: {text[-300:]}")
    return RuntimeError(f"{runtime}: {text[-300:] or type(error).__name__}")
