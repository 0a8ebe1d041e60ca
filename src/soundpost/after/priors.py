"""Priors by a part of the file name: where and when a recording was made says which classes to expect.

A file name is read by a regular expression with groups "site" and "hour"; names that it does not match have neither.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from soundpost.after.table import Table
from soundpost.errors import SettingsError

BIRDCLEF_2026 = r"^BC2026_(?:Train|Test)_\d+_(?P<site>S\d+)_\d{8}_(?P<hour>\d{2})\d{4}\.ogg$"
DATE_AND_TIME = r"_\d{8}_(?P<hour>\d{2})\d{4}"
UNKNOWN_SITE, UNKNOWN_HOUR = "unknown", -1
SMALLEST = 1e-6
SHRINK_ONE, SHRINK_BOTH = 8.0, 4.0  # windows: a rate of so many counts as much as what it replaces


@dataclass(frozen=True)
class Rate:
    """How often each class occurs under one condition."""

    n: float  # windows that were counted
    rates: np.ndarray  # (columns,) in [0, 1]


@dataclass(frozen=True)
class SiteHourRates:
    """Rates of all labelled windows, and by site, by hour and by both."""

    overall: np.ndarray  # (columns,)
    site: Mapping[str, Rate] = field(default_factory=dict)
    hour: Mapping[int, Rate] = field(default_factory=dict)
    site_hour: Mapping[tuple[str, int], Rate] = field(default_factory=dict)

    def prior(self, site: str, hour: int) -> np.ndarray:
        """(columns,): the overall rate, drawn to those of hour, site and both as far as they were counted (2026)."""
        result = self.overall
        for rate, shrink in (
            (self.hour.get(hour) if hour != UNKNOWN_HOUR else None, SHRINK_ONE),
            (self.site.get(site), SHRINK_ONE),
            (self.site_hour.get((site, hour)), SHRINK_BOTH),
        ):
            if rate is not None:
                weight = rate.n / (rate.n + shrink)
                result = weight * rate.rates + (1 - weight) * result
        return np.clip(result, 1e-4, 1 - 1e-4)

    def to_toml(self) -> dict[str, Any]:
        """The rates as submission.toml holds them, under `rates` of a site_hour_prior step."""
        return {
            "overall": [float(r) for r in self.overall],
            "site": {site: _plain(rate) for site, rate in self.site.items()},
            "hour": {str(hour): _plain(rate) for hour, rate in self.hour.items()},
            "site_hour": {f"{site} {hour}": _plain(rate) for (site, hour), rate in self.site_hour.items()},
        }

    @staticmethod
    def from_toml(table: Mapping[str, Any]) -> "SiteHourRates":
        """The rates that to_toml wrote."""
        try:
            pairs = {tuple(key.rsplit(" ", 1)): _rate(value) for key, value in table.get("site_hour", {}).items()}
            return SiteHourRates(
                np.asarray(table["overall"], dtype=np.float64),
                {site: _rate(value) for site, value in table.get("site", {}).items()},
                {int(hour): _rate(value) for hour, value in table.get("hour", {}).items()},
                {(site, int(hour)): rate for (site, hour), rate in pairs.items()},
            )
        except (KeyError, TypeError, ValueError) as error:
            raise SettingsError(
                f"[[after]] site_hour_prior rates are not understood ({type(error).__name__}: {error}). "
                "Write them as SiteHourRates.to_toml does."
            ) from error


def count_rates(
    sites: Sequence[str], hours: Sequence[int], labels: np.ndarray, hour_sigma: float = 1.5
) -> SiteHourRates:
    """Rates of labelled windows.

    Args:
        sites: where each window was recorded.
        hours: when each window was recorded; -1 where that is not known: it counts for no hour then.
        labels: (windows, columns), nonzero where the class was heard.
        hour_sigma: hours over which the rates of hours are smoothed around the clock, if at least three occur; 0: not.
    """
    heard = (np.asarray(labels) > 0).astype(np.float64)
    clock = np.asarray(hours)
    by_site = {s: _counted(heard[np.asarray(sites) == s]) for s in sorted(set(sites))}
    known = sorted({int(h) for h in hours if h != UNKNOWN_HOUR})
    by_hour = {h: _counted(heard[clock == h]) for h in known}
    if len(known) >= 3 and hour_sigma > 0:
        by_hour = _smoothed(by_hour, heard.shape[1], hour_sigma)
    pairs = sorted({(s, int(h)) for s, h in zip(sites, hours, strict=True) if h != UNKNOWN_HOUR})
    both = {(s, h): _counted(heard[(np.asarray(sites) == s) & (clock == h)]) for s, h in pairs}
    return SiteHourRates(heard.mean(axis=0), by_site, by_hour, both)


def site_and_hour(name: str, pattern: str = BIRDCLEF_2026) -> tuple[str, int]:
    """Site and hour of a recording from its file name; "unknown" and -1 for what the pattern does not find."""
    match = re.search(pattern, name)
    if not match:
        return UNKNOWN_SITE, UNKNOWN_HOUR
    found = match.groupdict()
    return found.get("site") or UNKNOWN_SITE, int(found["hour"]) if found.get("hour") else UNKNOWN_HOUR


def shifted_logits(logits: np.ndarray, prior: np.ndarray, strength: float) -> np.ndarray:
    """Logits (rows, columns) moved by strength times the prior's logits."""
    return logits + strength * (np.log(prior) - np.log1p(-prior))


def site_hour_prior(
    table: Table, rates: Mapping[str, Any], strength: float = 0.4, pattern: str = BIRDCLEF_2026
) -> np.ndarray:
    """Move each row's logits by the prior of its recording's site and hour (2026).

    Args:
        table: with the recordings' file names.
        rates: as SiteHourRates.to_toml writes them.
        strength: factor of the prior's logits.
        pattern: regular expression with groups site and hour.
    """
    counted = SiteHourRates.from_toml(rates)
    _check_columns(counted.overall, table)
    result = np.array(table.values, dtype=np.float64)
    for rows, name in zip(table.recordings, table.names, strict=True):
        prior = counted.prior(*site_and_hour(name, pattern))
        result[rows] = _sigmoid(shifted_logits(_logits(result[rows]), prior, strength))
    return result


def diel_prior(
    table: Table,
    ratios: Mapping[str, Mapping[str, float]],
    taxa: Sequence[str] | Mapping[str, str],
    pattern: str = DATE_AND_TIME,
) -> np.ndarray:
    """Add the log of a likelihood ratio by the group of a class and the hour of its recording (2026).

    Args:
        table: with the recordings' file names.
        ratios: group -> hour in digits -> ratio; 1 where nothing is said.
        taxa: the group of each column, in their order or by class name.
        pattern: regular expression with a group hour.
    """
    groups = [taxa.get(column, "") for column in table.columns] if isinstance(taxa, Mapping) else list(taxa)
    _check_columns(np.asarray(groups), table)
    result = np.array(table.values, dtype=np.float64)
    for rows, name in zip(table.recordings, table.names, strict=True):
        hour = str(site_and_hour(name, pattern)[1])
        ratio = np.array([float(ratios.get(group, {}).get(hour, 1.0)) for group in groups])
        result[rows] = _sigmoid(_logits(result[rows]) + np.log(ratio))
    return result


def _counted(heard: np.ndarray) -> Rate:
    return Rate(float(len(heard)), heard.mean(axis=0))


def _smoothed(by_hour: Mapping[int, Rate], columns: int, sigma: float) -> dict[int, Rate]:
    """Rates of hours smoothed around the clock by a Gaussian; hours that do not occur count as 0."""
    circle = np.zeros((24, columns))
    for hour, rate in by_hour.items():
        circle[hour] = rate.rates
    radius = int(4 * sigma + 0.5)
    bell = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    bell /= bell.sum()
    smooth = sum(w * np.roll(circle, d, axis=0) for w, d in zip(bell, range(-radius, radius + 1), strict=True))
    return {hour: Rate(rate.n, np.clip(smooth[hour], 0.0, 1.0)) for hour, rate in by_hour.items()}


def _check_columns(values: np.ndarray, table: Table) -> None:
    if len(values) != table.values.shape[1]:
        raise SettingsError(
            f"[[after]] a prior for {len(values)} columns, and the submission has {table.values.shape[1]}. "
            "Give one value for each column, in their order."
        )


def _plain(rate: Rate) -> dict[str, Any]:
    return {"n": rate.n, "rates": [float(r) for r in rate.rates]}


def _rate(table: Mapping[str, Any]) -> Rate:
    return Rate(float(table["n"]), np.asarray(table["rates"], dtype=np.float64))


def _logits(probabilities: np.ndarray) -> np.ndarray:
    clipped = np.clip(probabilities, SMALLEST, 1 - SMALLEST)
    return np.log(clipped) - np.log1p(-clipped)


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0.0, -logits))
