"""Blends by rank: each member's column is replaced by the ranks of its rows over all rows of all recordings.

A rank depends on every other row, so these steps stand last, where the whole table is known.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from soundpost.after.table import Table
from soundpost.errors import SettingsError, ShapeError

TIES = ("mean", "from_0", "maximum")


def ranks(values: np.ndarray, ties: str = "mean") -> np.ndarray:
    """(rows, columns) -> the rank of each value in its column.

    Args:
        values: what one member says of all rows.
        ties: "mean": mean rank / rows. "from_0": (mean rank - 1) / (rows - 1). "maximum": largest rank / rows.
    """
    if ties not in TIES:
        raise SettingsError(f"[[after]] ties = '{ties}'; known: {', '.join(TIES)}. Correct it in submission.toml.")
    rows = len(values)
    result = np.empty(values.shape, dtype=np.float64)
    for column in range(values.shape[1]):
        _, place, counts = np.unique(values[:, column], return_inverse=True, return_counts=True)
        last = np.cumsum(counts)  # the largest rank, from 1, that a distinct value has
        rank = last if ties == "maximum" else last - (counts - 1) / 2
        scaled = (rank - 1) / max(1, rows - 1) if ties == "from_0" else rank / max(1, rows)
        result[:, column] = scaled[place]
    return result


def blended_ranks(members: Sequence[np.ndarray], weights: Sequence[float] = (), ties: str = "mean") -> np.ndarray:
    """Weighted mean of the members' ranks, (rows, columns); equal weights where none are given."""
    chosen = np.asarray(weights if len(weights) else [1.0] * len(members), dtype=np.float64)
    if len(chosen) != len(members) or not chosen.sum() > 0:
        raise ShapeError(f"{len(chosen)} weights for {len(members)} members. Give each one a weight, not all zero.")
    return sum(w * ranks(member, ties) for w, member in zip(chosen / chosen.sum(), members, strict=True))


def gated_by_ranks(members: Sequence[np.ndarray], gate: np.ndarray, floor: float = 0.5) -> np.ndarray:
    """The members' mean times (floor + (1 - floor) * the gate's rank from 0), (rows, columns)."""
    return np.mean(np.stack(members), axis=0) * (floor + (1 - floor) * ranks(gate, "from_0"))


def rank_blend(table: Table, weights: Mapping[str, float], ties: str = "mean") -> np.ndarray:
    """Recipes blended by the ranks of their own tables, in place of what the blend gave (2026).

    Args:
        table: with the recipes' tables as inputs.
        weights: recipe -> weight.
        ties: as in ranks.
    """
    return blended_ranks([table.input(name) for name in weights], tuple(weights.values()), ties)


def rank_gate(table: Table, gate: str, floor: float = 0.5, inputs: Sequence[str] = ()) -> np.ndarray:
    """The mean of recipes, or what there is when none are named, lowered where the gate's rank is low (2026)."""
    members = [table.input(name) for name in inputs] or [table.values]
    return gated_by_ranks(members, table.input(gate), floor)
