"""The steps of [[after]] in the order of submission.toml, refused before the run where they cannot work."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from soundpost.after import AFTER
from soundpost.after.table import Table
from soundpost.errors import SettingsError, ShapeError
from soundpost.registry import pick

Step = Callable[[Table], np.ndarray]


def steps_of(tables: Sequence[Mapping[str, Any]]) -> tuple[Step, ...]:
    """The functions that [[after]] names, with their settings bound.

    Raises:
        SettingsError: a step without a name, one that is not known, or a setting that it does not have.
    """
    return tuple(_bound(table) for table in tables)


def apply(steps: Sequence[Step], table: Table) -> np.ndarray:
    """The table's values after every step, (rows, columns) float64, finite and clipped to [0, 1].

    Raises:
        ShapeError: a step that changes the shape, or gives what is no number; the message names it.
    """
    for number, step in enumerate(steps, 1):
        values = np.asarray(step(table), dtype=np.float64)
        if values.shape != table.values.shape or not np.isfinite(values).all():
            raise ShapeError(
                f"[[after]] step {number} gave {values.shape} with {int((~np.isfinite(values)).sum())} values that are "
                f"no numbers, from {table.values.shape}. Correct its settings in submission.toml."
            )
        table = table.with_values(values)
    return np.clip(table.values, 0.0, 1.0)


def _bound(table: Mapping[str, Any]) -> Step:
    if "name" not in table:
        raise SettingsError(f"[[after]] {dict(table)} has no name; known: {', '.join(sorted(AFTER))}. Name the step.")
    function = pick(AFTER, table["name"], "after step")
    settings = {key: value for key, value in table.items() if key != "name"}
    known = {name: p for name, p in inspect.signature(function).parameters.items() if name != "table"}
    unknown = sorted(set(settings) - set(known))
    missing = sorted(n for n, p in known.items() if p.default is inspect.Parameter.empty and n not in settings)
    if unknown or missing:
        wrong = f"unknown setting {', '.join(unknown)}" if unknown else f"no {', '.join(missing)}"
        raise SettingsError(
            f"[[after]] {table['name']}: {wrong}; settings: {', '.join(known)}. Correct it in submission.toml."
        )
    return partial(function, **settings)
