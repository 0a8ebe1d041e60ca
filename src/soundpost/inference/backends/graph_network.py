"""A graph in place of a torch network: prepared windows in, logits (or what the file calls its answer) out."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from soundpost.errors import SettingsError, ShapeError
from soundpost.inference.backends.graph_settings import AXES, GraphSettings, constant
from soundpost.inference.backends.session import Port, Session


class GraphNetwork(nn.Module):
    """Used as any network of the kit is; it computes on the cores, whatever the device of its windows is.

    Args:
        session: one runtime with the graph.
        settings: how windows go in and the answer comes out.
        n_classes: how many numbers a window's answer has.
        n_bytes: size of the file.

    Raises:
        SettingsError: an input or output that the graph lacks, or an input without a value.
    """

    def __init__(self, session: Session, settings: GraphSettings, n_classes: int, n_bytes: int) -> None:
        super().__init__()
        self.settings = settings
        self.n_classes = n_classes
        self.n_bytes = n_bytes
        self.session = session
        self._constants = {
            port.name: constant(settings.constants[port.name], port.dtype, port.name)
            for port in session.inputs
            if port.name in settings.constants
        }
        self.input = input_of(session, settings)
        self.output = output_of(session, settings.output)

    def forward(self, windows: Tensor) -> Tensor:
        """(batch, channels, bins, frames) as the view prepares them -> (batch, classes) float32 on the same device."""
        answers = self.answers(windows, self.output.name)
        rows = [class_rows(answer, count, self.n_classes, self.settings) for answer, count in answers]
        return torch.from_numpy(np.concatenate(rows)).to(windows.device)

    def vectors(self, windows: Tensor) -> Tensor:
        """(batch, channels, bins, frames) -> (batch, features) float32: the output that [model] calls embedding.

        Raises:
            SettingsError: it names none.
        """
        named = self.settings.embedding
        if not named:
            raise SettingsError(
                "[model] names no embedding, and a graph has no layer to look into; its outputs: "
                f"{'; '.join(map(str, self.session.outputs))}. Give one of them as embedding in [model]."
            )
        answers = self.answers(windows, output_of(self.session, named).name)
        rows = [feature_rows(answer, count, self.settings) for answer, count in answers]
        return torch.from_numpy(np.concatenate(rows)).to(windows.device)

    def answers(self, windows: Tensor, output: str) -> Iterator[tuple[np.ndarray, int]]:
        """What an output holds after each call, and for how many windows: all of them, or one by one."""
        arrays = arranged(windows.detach().cpu().numpy(), self.settings.axes).astype(self.input.dtype, copy=False)
        batch_axis = self.settings.axes.index("batch") if self.settings.axes else 0
        calls = np.split(arrays, len(windows), batch_axis) if self.settings.one_by_one else [arrays]
        for some in calls:
            inputs = {self.input.name: np.ascontiguousarray(some), **self._constants}
            (answer,) = self.session.run(inputs, [output])
            yield answer, some.shape[batch_axis]

    def __deepcopy__(self, memo: dict[int, Any]) -> "GraphNetwork":
        return self  # a session keeps nothing of a call, so that all may share it


def arranged(windows: np.ndarray, axes: tuple[str, ...]) -> np.ndarray:
    """(batch, channels, bins, frames) with its axes in another order, those left out dropped.

    Raises:
        ShapeError: an axis that is left out has more than one place.
    """
    if not axes:
        return windows
    gone = [axis for axis in AXES if axis not in axes]
    if windows.ndim != len(AXES) or any(windows.shape[AXES.index(axis)] != 1 for axis in gone):
        raise ShapeError(
            f"windows of {windows.shape} do not go into an input of ({', '.join(axes)}). Correct axes in [model], or "
            "the view."
        )
    turned = windows.transpose([AXES.index(axis) for axis in (*axes, *gone)])
    return turned.reshape(turned.shape[: len(axes)])


def class_rows(answer: np.ndarray, count: int, n_classes: int, settings: GraphSettings) -> np.ndarray:
    """What an output holds as (batch, classes) float32: further axes are pooled over.

    Raises:
        ShapeError: it does not hold so many numbers for each of so many windows.
    """
    values = np.asarray(answer, np.float32)
    if n_classes == 1 and settings.class_axis == 0:  # one number for a window, or one for each of its frames
        values = values.reshape(*(values.shape or (1,)), 1)
    elif settings.class_axis == 0 and values.ndim == 1 and count == 1:  # one window's answer, without a batch axis
        values = values[None]
    axis = settings.class_axis if settings.class_axis > 0 else values.ndim - 1
    if values.ndim < 2 or values.shape[0] != count or axis >= values.ndim or values.shape[axis] != n_classes:
        raise ShapeError(
            f"output {settings.output or 'of the graph'} is {np.shape(answer)} for {count} windows and {n_classes} "
            "labels. Correct output, class_axis or the labels of the recipe."
        )
    over = tuple(i for i in range(1, values.ndim) if i != axis)
    if any(values.shape[i] != 1 for i in over) and not settings.pooling:
        raise ShapeError(
            f"output {settings.output or 'of the graph'} is {np.shape(answer)}: a row for each frame. Set pooling to "
            '"max" or "mean" in [model].'
        )
    if not over:
        return np.ascontiguousarray(values)
    pooled: np.ndarray = values.mean(over) if settings.pooling == "mean" else values.max(over)
    return pooled


def feature_rows(answer: np.ndarray, count: int, settings: GraphSettings) -> np.ndarray:
    """What an output of features holds as (batch, features) float32: further axes are averaged over.

    Raises:
        ShapeError: it has no row for each of so many windows.
    """
    values = np.asarray(answer, np.float32)
    if count == 1 and values.shape[:1] != (1,):  # one window's features, without a batch axis
        values = values[None]
    axis = settings.embedding_axis if settings.embedding_axis > 0 else values.ndim - 1
    if values.ndim < 2 or values.shape[0] != count or axis >= values.ndim:
        raise ShapeError(
            f"output {settings.embedding} is {np.shape(answer)} for {count} windows, which is no row of features for "
            "each. Correct embedding or embedding_axis in [model]."
        )
    rows: np.ndarray = values.mean(tuple(i for i in range(1, values.ndim) if i != axis))
    return rows


def input_of(session: Session, settings: GraphSettings) -> Port:
    """The input that takes the windows.

    Raises:
        SettingsError: there is none of that name, or another one has no value.
    """
    named = {port.name: port for port in session.inputs}
    absent = sorted({settings.input, *settings.constants} - {"", *named})
    open_inputs = [port for port in session.inputs if port.name not in settings.constants]
    chosen = [port for port in open_inputs if port.name == settings.input or not settings.input]
    rest = [port for port in open_inputs if port not in chosen]
    if absent or rest or len(chosen) != 1:
        lack = f"no input {absent[0]}" if absent else f"{len(open_inputs)} inputs without a value"
        raise SettingsError(
            f"the graph has {lack}; its inputs: {'; '.join(map(str, session.inputs))}. Name the input of the windows "
            "as input in [model], and give the others a value in [model.constants]."
        )
    return chosen[0]


def output_of(session: Session, name: str) -> Port:
    """The output of that name; the only one where the name is empty.

    Raises:
        SettingsError: there is none of that name, or several and none is named.
    """
    chosen = [port for port in session.outputs if port.name == name or not name]
    if len(chosen) != 1:
        lack = f"no output {name}" if name else f"{len(chosen)} outputs"
        raise SettingsError(
            f"the graph has {lack}; its outputs: {'; '.join(map(str, session.outputs))}. Name the one that answers as "
            "output in [model]."
        )
    return chosen[0]
