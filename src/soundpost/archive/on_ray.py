"""--engine ray: the same answers by Ray Data, for a cluster.

read and cut -> decode and features in CPU tasks -> actors that hold the ensemble -> rows, collected into parts here

Retries, back-pressure, spilling and autoscaling are Ray's. What it computes twice because a worker died, it hands over
once; and a part is written when every row of it is there, by its number, so that no row is lost or comes twice. An
actor shows windows of equal length together, whichever block they came in, and pads nothing.
"""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

import soundpost
from soundpost.archive import ray_steps
from soundpost.archive.bar import Bar
from soundpost.archive.plan import Answer, Plan, Row
from soundpost.errors import SettingsError
from soundpost.resources.memory import cores

TASK_CLIPS = 16  # clips of one task that decodes
BATCH_ROWS = 64  # rows that an actor is given together
# Actors and tasks reserve less than a core each, so that both kinds are at work at once and the system shares the cores
# out; an actor so little that there is room for a task even where most nodes were lost and their actors came together.
TASK_CORES, ACTOR_CORES = 0.5, 0.1
LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"  # where it is 0, Ray listens at 127.0.0.1, on any system


def answer_on_ray(
    plan: Plan, parts: Sequence[int], bar: Bar, address: str = "", actors: int = 0
) -> Iterator[tuple[int, list[Answer]]]:
    """Answers of all rows, part by part, in the order in which parts are complete.

    Args:
        plan: what is asked for.
        parts: numbers of the parts that are wanted.
        bar: told how far it is.
        address: where a cluster is that `ray start` made; empty: the one that this process or its environment
            (RAY_ADDRESS) is in, else a new one.
        actors: copies of the ensemble; 0: one for each GPU of the cluster, or for each core where it has none.

    Raises:
        SettingsError: Ray is not installed, or the cluster does not answer.
    """
    address = address or os.environ.get("RAY_ADDRESS", "")
    ray = _ray(is_alone=not address)
    with _connected(ray, address):
        rows = _rows(ray, plan, parts, actors)
        yield from _in_parts(plan, parts, rows, bar)


def _rows(ray: Any, plan: Plan, parts: Sequence[int], actors: int) -> Iterator[dict[str, Any]]:
    """Every answered row as Ray hands it over."""
    resources = ray.cluster_resources()
    gpus = int(resources.get("GPU", 0)) if plan.device != "cpu" else 0
    if not gpus and plan.device not in ("auto", "cpu"):
        raise SettingsError(f"--device {plan.device}: the cluster has no GPU. Add nodes that do, or take --device cpu.")
    at_once = max(1, int(resources.get("CPU", 1)))
    steps = ray_steps.Steps.of(plan, "cuda" if gpus else "cpu")
    blocks = [block for part in parts for block in _blocks(plan, part)]
    # An actor that gets no batch would load for nothing.
    count = min(actors or gpus or at_once, -(-len(blocks) * TASK_CLIPS // BATCH_ROWS))
    data = ray.data.from_arrow(blocks)
    data = data.map_batches(
        ray_steps.hear,
        fn_args=(steps,),
        batch_size=None,
        batch_format="pyarrow",
        num_cpus=TASK_CORES,
        compute=ray.data.TaskPoolStrategy(size=min(at_once, len(blocks))),
    )
    data = data.map_batches(
        ray_steps.Ensemble,
        fn_constructor_args=(steps, partial(ray.get, ray.put(ray_steps.packed(plan.weights)))),
        batch_size=BATCH_ROWS,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=count),
        num_cpus=0 if gpus else ACTOR_CORES,
        num_gpus=1 if gpus else 0,
    )
    try:
        for batch in data.iter_batches(batch_size=None, batch_format="pyarrow"):
            yield from batch.to_pylist()
    except ray.exceptions.RayError as error:
        last = str(error).strip().splitlines()[-1]
        raise SettingsError(f"Ray has given up: {last}. The parts before it stand; go on with --resume.") from error


def _blocks(plan: Plan, part: int) -> Iterator[pa.Table]:
    """The clips of a part in blocks of TASK_CLIPS, those of like length together as far as sizes of files tell."""
    clips = plan.items(part)
    paths = plan.clips["path"].slice(clips.start, len(clips)).to_pylist()
    order = sorted(clips, key=lambda clip: _size(paths[clip - clips.start]))
    for begin in range(0, len(order), TASK_CLIPS):
        chosen = order[begin : begin + TASK_CLIPS]
        block = plan.clips.take(pa.array(chosen, pa.int64()))
        yield block.append_column("clip", pa.array(chosen, pa.int64()))


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except OSError:
        return 0


def _in_parts(
    plan: Plan, parts: Sequence[int], rows: Iterator[dict[str, Any]], bar: Bar
) -> Iterator[tuple[int, list[Answer]]]:
    """Rows gathered into parts; each leaves when all rows of all its clips are there.

    Raises:
        SettingsError: rows are missing at the end.
    """
    waiting: dict[int, dict[tuple[int, int], Answer]] = {part: {} for part in parts}
    open_clips = {part: len(plan.items(part)) for part in parts}
    rows_left: dict[int, int] = {}
    for told in rows:
        answer = _answer(told)
        part, key = answer.row.clip // plan.part_clips, (answer.row.clip, answer.row.number)
        if key in waiting.get(part, {key: answer}):
            continue  # it has come before
        waiting[part][key] = answer
        rows_left[key[0]] = rows_left.get(key[0], answer.row.count) - 1
        if rows_left[key[0]]:
            continue
        del rows_left[key[0]]
        open_clips[part] -= 1
        bar.reach(1)
        if not open_clips[part]:
            yield part, list(waiting.pop(part).values())
    if waiting:
        raise SettingsError(f"Ray ended without all rows of {len(waiting):,} parts. Go on with --resume.")


def _answer(told: dict[str, Any]) -> Answer:
    row = Row(told["clip"], told["number"], told["count"], told["id"], told["path"], told["start"], told["end"], None)
    return Answer(
        row,
        _array(told["probabilities"]),
        _array(told["embedding"]),
        *(told[name] or "" for name in ("unreadable", "mended", "silent", "incomplete")),
    )


def _array(numbers: list[float] | None) -> np.ndarray | None:
    return None if numbers is None else np.array(numbers, np.float32)


def _ray(is_alone: bool) -> Any:
    """The library, quiet.

    Args:
        is_alone: whether its processes are to hear one another on this machine alone.

    Raises:
        SettingsError: it is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_DATA_LOG_LEVEL", "ERROR")
    os.environ.setdefault("RAY_worker_niceness", "0")  # else all that computes would give way to whoever else does
    if is_alone:
        os.environ.setdefault(LOOPBACK, "0")
    try:
        ray = import_module("ray")
        import_module("ray.data")
    except ImportError as error:
        raise SettingsError(f"--engine ray: {error}. Run pip install 'soundpost[ray]'.") from error
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray").setLevel(logging.ERROR)
    return ray


@contextmanager
def _connected(ray: Any, address: str) -> Iterator[None]:
    """In a cluster: the one at the address, the one that this process is in, or a new one on this machine alone.

    Raises:
        SettingsError: nobody answers at the address.
    """
    if ray.is_initialized():
        yield
        return
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if address:
            source = str(Path(soundpost.__file__).parent)  # nodes need not have it installed
            ray.init(address=address, runtime_env={"py_modules": [source]}, **quiet)
        else:
            ray.init(address="local", num_cpus=cores(), include_dashboard=False, **quiet)
    except (ConnectionError, RuntimeError, ValueError) as error:
        said = str(error).rstrip(".")
        raise SettingsError(f"--address {address or 'of this machine'}: {said}. Start it with ray start.") from error
    try:
        yield
    finally:
        ray.shutdown()
