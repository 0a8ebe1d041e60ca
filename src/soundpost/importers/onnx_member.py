"""ONNX files of others -> a recipe folder: no code of the network is needed, and nothing is executed but the graph."""

import csv
from collections.abc import Callable, Mapping, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import torch

from soundpost.ensemble.recipe_folder import NewMember, write_recipe
from soundpost.ensemble.recipes import ONNX, Recipe
from soundpost.errors import SettingsError, ShapeError, WeightsError
from soundpost.graph_export.tried_windows import tried_windows
from soundpost.importers.onnx_graph import Graph, read_graph, refuse_state
from soundpost.inference.backends.graph_network import GraphNetwork, arranged, input_of, output_of
from soundpost.inference.backends.graph_settings import AXES, GraphSettings, constant
from soundpost.inference.backends.opening import open_first, usable
from soundpost.inference.backends.session import Port, Session
from soundpost.registry import settings_from

SAME_ALONE = 1e-4  # what a batch mate may move by rounding, of the largest value; more means that windows mix


def add_onnx(
    files: Sequence[Path],
    weights: Path,
    name: str,
    table: Mapping[str, Any],
    labels: tuple[str, ...],
    scores: Sequence[float] = (),
    aliases: Mapping[str, str] | None = None,
) -> Recipe:
    """The folds of one network as a recipe, after each graph was read, judged and shown windows of noise.

    Args:
        files: one .onnx file for each fold.
        weights: folder of submission.toml; the recipe goes into the folder of its name there.
        name: what the recipe is called.
        table: audio, front_end, views, [model] as GraphSettings has it, and whatever else a recipe.toml has.
        labels: in the order of the output's classes.
        scores: out-of-fold lwlrap of each file; empty when it is not known.
        aliases: label -> column of the submission, where the names differ.

    Raises:
        SettingsError: a table that lacks something or does not fit the graph; scores of another number.
        WeightsError: a file that no member can be, with the reason.
    """
    if "front_end" not in table:
        raise SettingsError(f"settings of {name}: no front_end. Write it, as docs/onnx.md shows.")
    if scores and len(scores) != len(files):
        raise SettingsError(f"{len(scores)} scores for {len(files)} files. Give one for each, or none.")
    given = {key: value for key, value in table.get("model", {}).items() if key != "name"}
    settings, members = None, []
    for fold, path in enumerate(files):
        graph = read_graph(path)
        found = fitted(graph, given, table, len(labels), str(path))
        if settings is not None and found != settings:
            raise WeightsError(
                f"{path}: goes in or comes out otherwise than {files[0]} ({found} against {settings}). Give the folds "
                "of one network; another network is another recipe."
            )
        settings = found
        score = {"lwlrap": scores[fold]} if scores else {}
        members.append(NewMember(str(fold), graph=graph.data, scores=score))
    members.sort(key=lambda member: -member.scores.get("lwlrap", 0.0))
    known = {label: column for label, column in (aliases or {}).items() if label in labels}
    whole = {**table, "model": {"name": ONNX, **(settings or {})}}
    if known:
        whole["aliases"] = {**table.get("aliases", {}), **known}
    return write_recipe(weights / name, name, whole, labels, members)


def fitted(
    graph: Graph, given: Mapping[str, Any], table: Mapping[str, Any], n_classes: int, where: str
) -> dict[str, Any]:
    """[model] of a recipe with everything said that the graph leaves open, after windows of noise went through it.

    Args:
        graph: what one file holds.
        given: [model] as the person wrote it.
        table: whose audio, front end, views and activation are meant.
        n_classes: how many labels there are.
        where: the file, for messages.

    Raises:
        SettingsError: a setting that does not fit the graph.
        WeightsError: a recurrent state, shapes that do not fit, answers that are no probabilities.
    """
    settings = settings_from(GraphSettings, given, f"{where} [model]")
    if len(graph.inputs) > 1:
        refuse_state(graph, settings.output, where)
    _, session = open_first(usable(), graph.data, where)
    try:
        port, output = input_of(session, settings), output_of(session, settings.output)
    except SettingsError as error:
        raise SettingsError(f"{where}: {error}") from error
    views = table.get("views", [{"name": "whole"}])
    windows = tried_windows(table.get("audio", {}), table["front_end"], views, where)
    batches = [batch.numpy() for batch in windows]
    axes = settings.axes or _axes(port, batches, where)
    made = {**given, "input": port.name, "output": output.name, "axes": list(axes)}
    made |= _answers(session, settings, port, output, arranged(batches[0], axes), n_classes, where)
    network = GraphNetwork(session, settings_from(GraphSettings, made, where), n_classes, len(graph.data))
    alone, together = _shown(network, batches, port, where)
    made["one_by_one"] = made["one_by_one"] or _differ(alone, together)
    if settings.embedding:
        made["embedding_axis"] = _feature_axis(network, settings, batches, where)
        network = GraphNetwork(session, settings_from(GraphSettings, made, where), n_classes, len(graph.data))
        made["one_by_one"] = made["one_by_one"] or _differ(*_shown(network.vectors, batches, port, where))
    if table.get("activation") == "none" and (alone.min() < 0 or alone.max() > 1):
        raise WeightsError(
            f"{where}: output {output.name} gave {alone.min():.4g} to {alone.max():.4g} for noise; activation = "
            '"none" takes it for probabilities. Say "sigmoid" or "softmax", or name an output that is within [0, 1].'
        )
    if not made["one_by_one"]:
        del made["one_by_one"]
    return made


def read_aliases(path: Path, columns: Sequence[str]) -> dict[str, str]:
    """Label -> column of the submission, from a table such as a contest's taxonomy.

    Args:
        path: a csv file with a header.
        columns: two of its columns: where the network's labels stand, and where the submission's stand.

    Raises:
        SettingsError: no such file, or no such columns in it.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"--aliases {path}: {error}. Give a csv file.") from error
    known = list(rows[0]) if rows else []
    if len(columns) != 2 or set(columns) - set(known):
        raise SettingsError(
            f"--aliases {path}: columns {', '.join(columns)} asked for; it has {', '.join(known) or 'none'}. Give two "
            "of them: label and column of the submission."
        )
    return {row[columns[0]]: row[columns[1]] for row in rows if row[columns[0]] and row[columns[1]]}


def _axes(port: Port, batches: Sequence[np.ndarray], where: str) -> tuple[str, ...]:
    """The order of axes in which all windows fit the input; the kit's own where that fits."""
    shapes = [dict(zip(AXES, batch.shape, strict=True)) for batch in batches if batch.ndim == len(AXES)]
    for others in permutations(AXES[1:], max(0, len(port.shape) - 1)):
        axes = ("batch", *others)
        if shapes and all(_fits(port, axes, shape) for shape in shapes):
            return axes
    windows = ", ".join(str(batch.shape) for batch in batches)
    raise WeightsError(
        f"{where}: input {port} does not take the windows of this recipe, (batch, channels, bins, frames) = {windows}. "
        "Correct [front_end] and [[views]], or give the input's axes as axes in [model]."
    )


def _fits(port: Port, axes: Sequence[str], shape: Mapping[str, int]) -> bool:
    if len(axes) != len(port.shape) or (isinstance(port.shape[0], int) and port.shape[0] != 1):
        return False
    sizes = zip(axes[1:], port.shape[1:], strict=True)
    matches = all(isinstance(size, str) or size == shape[axis] for axis, size in sizes)
    return matches and all(shape[axis] == 1 for axis in AXES if axis not in axes)


def _answers(
    session: Session,
    settings: GraphSettings,
    port: Port,
    output: Port,
    arrays: np.ndarray,
    n_classes: int,
    where: str,
) -> dict[str, Any]:
    """Whether windows go in one by one, and which axis of the answer are the classes, read off one real answer."""
    constants = {p.name: constant(settings.constants[p.name], p.dtype, p.name) for p in session.inputs if p != port}

    def answer(some: np.ndarray) -> np.ndarray:
        inputs = {port.name: np.ascontiguousarray(some.astype(port.dtype)), **constants}
        return np.asarray(session.run(inputs, [output.name])[0])

    one_by_one = settings.one_by_one or port.shape[0] == 1
    shape: tuple[int, ...] = ()
    if not one_by_one:
        try:
            shape = answer(arrays).shape
        except RuntimeError:
            one_by_one = True
        one_by_one = one_by_one or shape[:1] != (len(arrays),)
    if one_by_one:
        try:
            shape = answer(arrays[:1]).shape
        except RuntimeError as error:
            raise WeightsError(
                f"{where}: the graph does not take {arrays[:1].shape} as {port} ({error}). Correct [front_end], "
                "[[views]], or axes and constants in [model]."
            ) from error
    axes = [axis for axis in range(1, len(shape)) if shape[axis] == n_classes]
    chosen = settings.class_axis if settings.class_axis > 0 else max(axes, default=0)
    if chosen == 0 and n_classes > 1 and not (one_by_one and shape == (n_classes,)):
        raise WeightsError(
            f"{where}: output {output.name} answers {shape} for {shape[0] if shape else 1} windows, and there are "
            f"{n_classes} labels. Give the labels it was trained with, or name another output in [model]."
        )
    return {"one_by_one": one_by_one, "class_axis": chosen}


def _feature_axis(network: GraphNetwork, settings: GraphSettings, batches: Sequence[np.ndarray], where: str) -> int:
    """The axis of the output that is the embedding which is as long whatever the windows are."""
    try:
        output_of(network.session, settings.embedding)
    except SettingsError as error:
        raise SettingsError(f"{where}: embedding: {error}") from error
    found = [next(network.answers(torch.from_numpy(batch[:1]), settings.embedding))[0] for batch in batches]
    shapes = [answer.shape if answer.shape[:1] == (1,) else (1, *answer.shape) for answer in found]
    axes = [axis for axis in range(1, len(shapes[0])) if len({shape[axis] for shape in shapes}) == 1]
    chosen = settings.embedding_axis if settings.embedding_axis > 0 else max(axes, default=0)
    if chosen not in axes or (settings.embedding_axis < 0 and len(axes) > 1):
        raise SettingsError(
            f"{where}: output {settings.embedding} is {', '.join(map(str, dict.fromkeys(shapes)))} for one window: it "
            "does not tell where its features are. Give their place as embedding_axis in [model]; the batch's is 0."
        )
    return chosen


def _differ(alone: np.ndarray, together: np.ndarray) -> bool:
    """Whether a window's answer depends on the one beside it."""
    return bool(np.abs(alone - together).max() > SAME_ALONE * max(1.0, float(np.abs(alone).max())))


def _shown(
    network: Callable[[torch.Tensor], torch.Tensor], batches: Sequence[np.ndarray], port: Port, where: str
) -> tuple[np.ndarray, np.ndarray]:
    """What a network says of each window alone and beside another, (windows, numbers), at every length."""
    alone, together = [], []
    for batch in batches:
        try:
            alone += [network(torch.from_numpy(row[None])).numpy() for row in batch]
            together.append(network(torch.from_numpy(batch)).numpy())
        except ShapeError as error:
            raise WeightsError(f"{where}: {error}") from error
        except RuntimeError as error:
            raise WeightsError(
                f"{where}: the graph does not take windows {batch.shape} through {port} ({error}). Correct [front_end] "
                "and [[views]]; a view of fixed length is fixed_windows or tiles."
            ) from error
    values = np.concatenate(alone)
    if not np.isfinite(values).all():
        raise WeightsError(f"{where}: the graph's answer to noise is not finite. Export the network again.")
    return values, np.concatenate(together)
