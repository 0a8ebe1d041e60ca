"""Tables as TOML text without a package: soundpost/ensemble/toml_text.py."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundpost.ensemble.toml_text import toml_text

RECIPE = Path(__file__).resolve().parents[2] / "weights" / "compact" / "recipe.toml"
SINGLE = st.one_of(
    st.booleans(), st.integers(-(2**62), 2**62), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=12)
)
TABLES = st.recursive(
    st.dictionaries(st.text(max_size=6), SINGLE, max_size=3),
    lambda table: st.dictionaries(
        st.text(max_size=6),
        st.one_of(SINGLE, st.lists(SINGLE, max_size=9), table, st.lists(table, max_size=3), st.lists(st.lists(table))),
        max_size=4,
    ),
    max_leaves=12,
)


@given(TABLES)
def test_table_of_any_values_comes_back(table: dict[str, object]) -> None:
    """Whatever a recipe may say is read again as it was, by the standard library."""
    assert tomllib.loads(toml_text(table)) == table


def test_recipe_comes_back_with_its_numbers_to_the_last_digit() -> None:
    """A recipe of the repository, with nested tables and lists of tables."""
    table = tomllib.loads(RECIPE.read_text("utf-8"))
    assert tomllib.loads(toml_text(table)) == table


def test_long_list_stands_one_value_a_line_and_a_short_one_on_its_own() -> None:
    """Labels stay readable, whether there are ten of them or eighty."""
    assert toml_text({"a": [1, 2]}) == "a = [1, 2]\n"
    assert toml_text({"labels": ["x" * 70, "y" * 70]}) == f'labels = [\n    "{"x" * 70}",\n    "{"y" * 70}",\n]\n'


def test_value_that_toml_has_not_is_refused_by_its_type() -> None:
    """Nothing is written as something else."""
    with pytest.raises(TypeError, match="NoneType is no value of TOML"):
        toml_text({"a": None})
