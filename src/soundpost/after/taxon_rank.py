"""Ranks weighted by groups of columns, with gates between an anchor member and the others (second place of 2026)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from soundpost.after.neighbours import weighted
from soundpost.after.priors import BIRDCLEF_2026, site_and_hour
from soundpost.after.ranks import ranks
from soundpost.after.table import Table, for_each_recording
from soundpost.errors import SettingsError

CLIP = 1e-5
MISSING_GROUP = "Aves"
RARE_GROUPS = ("Amphibia", "Mammalia", "Reptilia")
MIRRORED = (
    ("47158son15", "47158son16"),
    ("47158son09", "47158son12"),
    ("47158son02", "47158son14"),
    ("47158son13", "47158son21", "47158son22", "47158son23"),
)
STATIONS = {"S15": "47158son07", "S23": "47158son25"}
STATION_FLOOR = 0.65
RICHNESS = 0.15
_DISTANCES = np.arange(-3, 4) / 1.2
CONTEXT = (1 + _DISTANCES**2 / 2) ** -1.5


@dataclass(frozen=True)
class _Votes:
    """What gates look at, (rows, columns) each."""

    anchor: np.ndarray  # probabilities
    anchor_rank: np.ndarray
    networks: np.ndarray  # (members but the anchor, rows, columns) probabilities
    network_ranks: np.ndarray


def taxon_rank(
    table: Table,
    weights: Mapping[str, Mapping[str, float] | float],
    anchor: str,
    groups: Sequence[str] | Mapping[str, str],
    gates: Sequence[str] = ("temporal", "mirror"),
    quiet_below: float = 1.0,
    mirrored: Sequence[Sequence[str]] = MIRRORED,
    stations: Mapping[str, str] = STATIONS,
) -> np.ndarray:
    """Members blended by rank with weights for each group of columns; then gates, always in the order of GATES.

    Args:
        table: with the members' own tables as inputs.
        weights: member -> group -> weight, or one weight for all groups.
        anchor: the member that the gates compare with the others.
        groups: the group of each column, in their order or by class name; "Aves" where there is none.
        gates: which gates act.
        quiet_below: the temporal gate acts where the mean of the others is below this.
        mirrored: columns of which each takes the maximum of its row of names.
        stations: site -> the column that is at least STATION_FLOOR there.
    """
    unknown = sorted(set(gates) - set(GATES))
    if unknown or anchor not in weights:
        wrong = f"gate '{unknown[0]}'" if unknown else f"anchor '{anchor}'"
        raise SettingsError(
            f"[[after]] taxon_rank {wrong} is not known; gates: {', '.join(GATES)}; members: {', '.join(weights)}. "
            "Correct it in submission.toml."
        )
    group_of = _groups(table, groups)
    blended, votes = _vote(table, weights, anchor, group_of)
    blended = _compare(table, votes, blended, gates, quiet_below)
    if "station" in gates:
        blended = _station(table, blended, stations)
    if "mirror" in gates:
        blended = _mirror(table, blended, mirrored)
    if "rare" in gates:
        rare = np.isin(group_of, RARE_GROUPS)
        low = blended < blended.mean(axis=0, keepdims=True) + 0.05
        blended = np.where(rare & low, 0.9 * blended, blended)
    if "richness" in gates:
        powers = np.exp((blended - blended.max(axis=1, keepdims=True)) / RICHNESS)
        blended = blended * powers / powers.sum(axis=1, keepdims=True)
    return blended


GATES = ("noise", "temporal", "spike", "station", "mirror", "rare", "richness")


def _vote(
    table: Table, weights: Mapping[str, Mapping[str, float] | float], anchor: str, group_of: Sequence[str]
) -> tuple[np.ndarray, _Votes]:
    """The members' ranks, blended with the weights of each column's group, and what the gates compare."""
    members = {name: np.clip(table.input(name).astype(np.float64), CLIP, 1 - CLIP) for name in weights}
    ranked = {name: ranks(values) for name, values in members.items()}
    share = {name: np.array([_weight(weights[name], group) for group in group_of]) for name in members}
    blended = sum(share[name] * ranked[name] for name in members) / sum(share.values())
    others = [name for name in members if name != anchor]
    votes = _Votes(
        members[anchor],
        ranked[anchor],
        np.stack([members[name] for name in others]),
        np.stack([ranked[name] for name in others]),
    )
    return blended, votes


def _compare(table: Table, votes: _Votes, blended: np.ndarray, gates: Sequence[str], quiet_below: float) -> np.ndarray:
    """The gates that set the anchor against the other members: a cell that one has moved is left alone by the next."""
    touched = np.zeros(blended.shape, dtype=bool)
    if "noise" in gates:
        cells = (votes.anchor > 0.5) & (votes.networks.mean(axis=0) < 0.05)
        blended = np.where(cells, 0.92 * blended + 0.08 * votes.anchor_rank, blended)
        touched |= cells
    if "temporal" in gates:
        blended, touched = _temporal(table, votes, blended, touched, quiet_below)
    if "spike" in gates:
        loudest = votes.network_ranks.max(axis=0)
        cells = (loudest > 0.95) & (votes.anchor_rank < 0.80) & ~touched
        blended = np.where(cells, 0.88 * blended + 0.12 * loudest, blended)
    return blended


def _temporal(
    table: Table, votes: _Votes, blended: np.ndarray, touched: np.ndarray, quiet_below: float
) -> tuple[np.ndarray, np.ndarray]:
    """Where the anchor and its neighbourhood in time both rank high, a little of the higher of the two."""
    bell = tuple(CONTEXT / CONTEXT.sum())
    around = for_each_recording(table.with_values(votes.anchor), lambda x: weighted(x, bell) if len(x) > 1 else x)
    context = ranks(around)
    cells = (context > 0.88) & (votes.anchor_rank > 0.75) & ~touched
    if quiet_below < 1:
        cells &= votes.networks.mean(axis=0) < quiet_below
    moved = 0.85 * blended + 0.15 * np.maximum(votes.anchor_rank, context)
    return np.where(cells, moved, blended), touched | cells


def _station(table: Table, blended: np.ndarray, stations: Mapping[str, str]) -> np.ndarray:
    result = blended.copy()
    for rows, name in zip(table.recordings, table.names, strict=True):
        column = stations.get(site_and_hour(name, BIRDCLEF_2026)[0])
        if column in table.columns:
            place = table.columns.index(column)
            result[rows, place] = np.maximum(result[rows, place], STATION_FLOOR)
    return result


def _mirror(table: Table, blended: np.ndarray, mirrored: Sequence[Sequence[str]]) -> np.ndarray:
    result = blended.copy()
    for names in mirrored:
        places = [table.columns.index(name) for name in names if name in table.columns]
        if len(places) > 1:
            result[:, places] = result[:, places].max(axis=1, keepdims=True)
    return result


def _groups(table: Table, groups: Sequence[str] | Mapping[str, str]) -> list[str]:
    if isinstance(groups, Mapping):
        return [groups.get(column) or MISSING_GROUP for column in table.columns]
    if len(groups) != table.values.shape[1]:
        raise SettingsError(
            f"[[after]] taxon_rank has {len(groups)} groups for {table.values.shape[1]} columns. Give one for each."
        )
    return [group or MISSING_GROUP for group in groups]


def _weight(weights: Mapping[str, float] | float, group: str) -> float:
    return float(weights.get(group, 0.0)) if isinstance(weights, Mapping) else float(weights)
