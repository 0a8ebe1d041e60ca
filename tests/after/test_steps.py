"""Steps on finished tables: registry, settings, and what must hold for every one of them."""

import inspect
from typing import Any

import numpy as np
import pytest

from soundpost.after import AFTER
from soundpost.after.apply import apply, steps_of
from soundpost.after.priors import BIRDCLEF_2026, SiteHourRates, count_rates, site_and_hour
from soundpost.after.ranks import ranks
from soundpost.after.table import Table, of_recordings
from soundpost.archive.recording_steps import WHOLE_TABLE
from soundpost.errors import SettingsError, ShapeError
from soundpost.registry import pick

COLUMNS = ("a", "b", "c")
NAMES = ("BC2026_Test_0001_S05_20250227_010002.ogg", "BC2026_Test_0002_S01_20250227_190002.ogg")
RATES = count_rates(["S05", "S01", "S05"], [1, 19, 4], np.eye(3))
SETTINGS: dict[str, dict[str, Any]] = {  # for steps that need some
    "diel_prior": {"ratios": {"Aves": {"1": 2.0}}, "taxa": {"a": "Aves"}},
    "rank_blend": {"weights": {"first": 1.0, "second": 2.0}},
    "rank_gate": {"gate": "first"},
    "site_hour_prior": {"rates": RATES.to_toml()},
    "taxon_rank": {"weights": {"first": 0.4, "second": 0.6}, "anchor": "first", "groups": {"a": "Aves"}},
    "temperature": {"temperatures": {"b": 2.0}},
    "threshold_stretch": {"thresholds": [0.2, 0.3, 0.4]},
}


def table(seed: int = 1, rows: int = 6) -> Table:
    random = np.random.default_rng(seed)
    values, first, second = (random.uniform(0, 1, (2 * rows, 3)) for _ in range(3))
    return Table(values, of_recordings(2, rows), NAMES, COLUMNS, {"first": first, "second": second})


@pytest.mark.parametrize("name", sorted(AFTER))
def test_step_of_any_name_keeps_shape_and_its_argument(name: str) -> None:
    """Each gives finite numbers for every cell and leaves the table that it was given as it was."""
    before = table()
    kept = before.values.copy()
    after = apply(steps_of([{"name": name, **SETTINGS.get(name, {})}]), before)
    assert after.shape == kept.shape
    assert ((after >= 0) & (after <= 1)).all()
    np.testing.assert_array_equal(kept, before.values)


@pytest.mark.parametrize("name", sorted(AFTER))
def test_step_of_any_name_changes_something_or_only_clips(name: str) -> None:
    """No entry of the registry is a stub; clip alone has nothing to do on probabilities."""
    before = table()
    after = apply(
        steps_of([{"name": name, **SETTINGS.get(name, {}), **({"k": 1} if name == "power_below_rank" else {})}]), before
    )
    assert (name == "clip") == bool(np.array_equal(after, before.values))


@pytest.mark.parametrize("name", sorted(set(AFTER) - set(WHOLE_TABLE)))
def test_step_of_a_recording_looks_at_no_other_recording(name: str) -> None:
    """A recording alone, and rows in another order of the table, get the same answers."""
    both = table()
    step = steps_of([{"name": name, **SETTINGS.get(name, {})}])
    together = apply(step, both)
    order = np.random.default_rng(2).permutation(len(both.values))
    place = np.argsort(order)
    shuffled = Table(both.values[order], tuple(place[rows] for rows in both.recordings), NAMES, COLUMNS)
    np.testing.assert_allclose(apply(step, shuffled), together[order], atol=1e-12)
    alone = Table(both.values[:6], of_recordings(1, 6), NAMES[:1], COLUMNS)
    np.testing.assert_allclose(apply(step, alone), together[:6], atol=1e-12)


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("name", sorted(AFTER))
def test_step_of_a_short_recording_works(name: str, rows: int) -> None:
    """One window and two windows have neighbours, maxima and ranks, too."""
    short = table(rows=rows)
    assert np.isfinite(apply(steps_of([{"name": name, **SETTINGS.get(name, {})}]), short)).all()


def test_steps_without_a_name_or_with_a_wrong_one_are_refused() -> None:
    """The message lists what is known."""
    with pytest.raises(SettingsError, match=r"has no name; known: adaptive_delta, "):
        steps_of([{"alpha": 0.1}])
    with pytest.raises(SettingsError, match=r"after step 'smooth' is not known; known: adaptive_delta, "):
        steps_of([{"name": "smooth"}])
    with pytest.raises(SettingsError, match=r"delta: unknown setting beta; settings: alpha"):
        steps_of([{"name": "delta", "beta": 0.1}])
    with pytest.raises(SettingsError, match=r"rank_gate: no gate; settings: gate, floor, inputs"):
        steps_of([{"name": "rank_gate"}])


def test_steps_that_name_what_is_not_there_are_refused() -> None:
    """A recipe, a column, a group or a gate that does not exist is named in the message."""
    cases = {
        "recipe 'third'; known: first, second": {"name": "rank_blend", "weights": {"third": 1.0}},
        "temperatures names 'z'": {"name": "temperature", "temperatures": {"z": 1.0}},
        "thresholds has 2 numbers for 3 columns": {"name": "threshold_stretch", "thresholds": [0.1, 0.2]},
        "gate 'loud' is not known": {"name": "taxon_rank", **SETTINGS["taxon_rank"], "gates": ["loud"]},
        "have no centre": {"name": "kernel", "weights": [0.5, 0.5]},
        "method = 'mode'; known": {"name": "presence_gate", "method": "mode"},
        "ends = 'open'; known: own, untouched": {"name": "adaptive_delta", "ends": "open"},
    }
    for message, settings in cases.items():
        with pytest.raises(SettingsError, match=message):
            apply(steps_of([settings]), table())


def test_apply_of_a_step_without_numbers_names_it() -> None:
    """What is no number never gets into a submission."""
    with pytest.raises(ShapeError, match=r"step 2 gave \(12, 3\) with 36 values that are no numbers"):
        apply((lambda t: t.values, lambda t: t.values * np.nan), table())


def test_table_with_a_row_in_two_recordings_is_refused() -> None:
    """Each row is of one recording."""
    with pytest.raises(ShapeError, match="name rows twice"):
        Table(np.zeros((3, 1)), (np.array([0, 1]), np.array([1, 2])))


def test_rates_of_sites_and_hours_come_back_from_toml() -> None:
    """What to_toml writes gives the same priors."""
    again = SiteHourRates.from_toml(RATES.to_toml())
    for site, hour in (("S05", 1), ("S01", 4), ("S99", -1)):
        np.testing.assert_array_equal(RATES.prior(site, hour), again.prior(site, hour))
    with pytest.raises(SettingsError, match="rates are not understood"):
        SiteHourRates.from_toml({"site": {}})


def test_site_and_hour_of_another_pattern_are_read() -> None:
    """A contest of another year says its own regular expression."""
    assert site_and_hour("H02_20230420_074000.ogg", r"^(?P<site>H\d+)_\d{8}_(?P<hour>\d\d)") == ("H02", 7)
    assert site_and_hour("x.ogg", BIRDCLEF_2026) == ("unknown", -1)


def test_ranks_of_ties_follow_the_named_rule() -> None:
    """Three rules for the rank of equal values."""
    column = np.array([[0.1], [0.5], [0.5], [0.9]])
    assert ranks(column, "mean")[:, 0].tolist() == [0.25, 0.625, 0.625, 1.0]
    assert ranks(column, "maximum")[:, 0].tolist() == [0.25, 0.75, 0.75, 1.0]
    assert ranks(column, "from_0")[:, 0] == pytest.approx([0.0, 0.5, 0.5, 1.0])


def test_registry_of_steps_holds_functions_of_a_table() -> None:
    """Every entry can be imported, takes a table first and is documented."""
    for name in AFTER:
        function = pick(AFTER, name, "after step")
        assert next(iter(inspect.signature(function).parameters)) == "table"
        assert function.__doc__
