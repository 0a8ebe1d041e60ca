"""What a recipe says about the graph of its members: [model] of a recipe whose network is an ONNX file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from soundpost.errors import SettingsError

AXES = ("batch", "channels", "bins", "frames")  # what prepared windows have, in their order
POOLINGS = ("", "max", "mean")


@dataclass(frozen=True)
class GraphSettings:
    """How windows go into a graph and how its answer becomes (batch, classes)."""

    input: str = ""  # its name; "": the one input that is no constant
    axes: tuple[
        str, ...
    ] = ()  # what the input has, in its order, out of batch, channels, bins, frames; (): as prepared
    output: str = ""  # which output answers; "": the only one
    pooling: str = ""  # over the frames of a frame-wise output: "max" or "mean", of its values as they are
    class_axis: int = -1  # where the output has them; 0: it has no batch axis, or no class axis for its one class
    embedding: str = ""  # which output is the vector that tells clips apart; "": none
    embedding_axis: int = -1  # where that output has its features; over others but the batch's it is averaged
    one_by_one: bool = False  # one window a call, where the graph takes no more or mixes them
    constants: Mapping[str, Any] = field(default_factory=dict)  # further inputs: a number, a list, {shape, value}

    def __post_init__(self) -> None:
        strange = sorted(set(self.axes) - set(AXES))
        if strange or len(set(self.axes)) != len(self.axes) or (self.axes and "batch" not in self.axes):
            raise SettingsError(
                f"[model] axes = {list(self.axes)}: give each axis of the input once, batch among them, out of "
                f"{', '.join(AXES)}."
            )
        if self.pooling not in POOLINGS:
            raise SettingsError(f"[model] pooling = '{self.pooling}'; known: max, mean. Correct it, or leave it out.")


def constant(value: Any, dtype: str, name: str) -> np.ndarray:
    """A further input as the recipe gives it: a number, nested lists, or {shape = [4, 1, 64], value = 0.0}.

    Raises:
        SettingsError: it is none of these.
    """
    try:
        if isinstance(value, Mapping):
            return np.full(tuple(value["shape"]), value.get("value", 0), dtype)
        return np.array(value, dtype)
    except (KeyError, TypeError, ValueError) as error:
        raise SettingsError(
            f"[model] constants: {name} = {value!r} is no {dtype} ({error}). Give a number, a list, or "
            "{shape = [...], value = 0.0}."
        ) from error
