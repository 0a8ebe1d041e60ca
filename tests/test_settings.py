"""Quantities as people write them, settings as data that travel, and tables that fill a dataclass or are refused."""

import json
from dataclasses import dataclass

import pytest

from soundpost.errors import SettingsError
from soundpost.registry import pick, settings_from
from soundpost.settings import RunSettings, parse_bytes, parse_seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("3,300 s", 3300),
        ("55m", 3300),
        ("1.5h", 5400),
        (" 2 min ", 120),
        ("10S", 10),
        (".5m", 30),
        (3300, 3300),
    ],
)
def test_seconds_are_read_with_their_units(text: str | float, seconds: float) -> None:
    """Minutes, hours and bare seconds, in any case."""
    assert parse_seconds(text, "time-limit") == seconds


@pytest.mark.parametrize(
    ("text", "n_bytes"),
    [
        ("12G", 12 * 10**9),
        ("800M", 8 * 10**8),
        ("1GiB", 2**30),
        ("1.5gi", 3 * 2**29),
        ("4096", 4096),
        ("2k", 2000),
        ("1,035M", 1035 * 10**6),
        ("1035M", 1035 * 10**6),
        ("1,234,567", 1234567),
        ("1,000.5k", 1000500),
    ],
)
def test_bytes_are_read_with_their_units(text: str, n_bytes: int) -> None:
    """G is a thousand million, GiB is 2^30."""
    assert parse_bytes(text, "memory-limit") == n_bytes


@pytest.mark.parametrize("text", ["", "m", "12 parsecs", "-5m", "1e3", "nan", "1,5h", "1,0000s", ",100s", "1000,000"])
def test_duration_that_is_not_understood_is_refused_with_examples(text: str) -> None:
    """The message shows what was written and how to write it."""
    with pytest.raises(SettingsError, match=r"--time-limit .* is not understood\. Write it like 55m, 90s"):
        parse_seconds(text, "time-limit")


@pytest.mark.parametrize("text", ["0", "0.0G"])
def test_size_of_nothing_is_refused(text: str) -> None:
    """A limit of zero would be read as no limit."""
    with pytest.raises(SettingsError, match=r"--disk-limit .* is not positive"):
        parse_bytes(text, "disk-limit")


def test_run_settings_come_back_from_json_as_they_were() -> None:
    """The engine reads what the supervisor wrote, tuples included."""
    settings = RunSettings("a", "t", "s", "o", "x", members=("compact/1", "compact/2"), started=12.5)

    assert RunSettings.from_json(json.loads(json.dumps(settings.to_json()))) == settings


@dataclass(frozen=True)
class Sizes:
    """Settings of nothing in particular."""

    width: int
    strides: tuple[int, ...] = (1,)


def test_table_fills_settings_and_lists_become_tuples() -> None:
    """What TOML can write is what a frozen dataclass can hold."""
    assert settings_from(Sizes, {"width": 3, "strides": [1, 2]}, "[model]") == Sizes(3, (1, 2))


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"width": 3, "widht": 4}, r"\[model\]: unknown setting widht; known: width, strides"),
        ({}, r"\[model\]: .*missing.*width.*Give every setting"),
    ],
)
def test_table_that_does_not_fit_is_refused(table: dict[str, int], words: str) -> None:
    """A typing error is named with the words that are known."""
    with pytest.raises(SettingsError, match=words):
        settings_from(Sizes, table, "[model]")


def test_name_that_is_in_no_registry_is_refused_with_those_that_are() -> None:
    """A look-up that fails lists what there is."""
    with pytest.raises(SettingsError, match=r"model 'resent' is not known; known: a, b\. Correct"):
        pick({"b": "m:B", "a": "m:A"}, "resent", "model")
