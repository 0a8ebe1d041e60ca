"""Labels find their columns by name, first their own, then their alias, and never by position."""

import pytest

from soundpost.ensemble.columns import ColumnMap, column_priors, map_all, map_columns, names_of_labels
from soundpost.ensemble.recipes import Named, Recipe
from soundpost.errors import SettingsError


def recipe(name: str, labels: tuple[str, ...], priors: tuple[float, ...] = (), **aliases: str) -> Recipe:
    return Recipe(
        name=name,
        labels=labels,
        audio={},
        front_end=Named("log_mel", {}),
        model=Named("compact", {}),
        views=(),
        members=(),
        priors=priors or (0.5,) * len(labels),
        aliases=aliases,
    )


def test_labels_fill_the_columns_of_their_names_in_any_order() -> None:
    """Shuffled columns get the same classes."""
    r = recipe("a", ("Bark", "Rain", "Yell"))

    assert map_columns(r, ("Rain", "Siren", "Bark")) == ColumnMap(classes=(0, 1), columns=(2, 0))


def test_alias_is_used_only_where_the_own_name_is_no_column() -> None:
    """A label named like its column needs no alias, even if it has one."""
    r = recipe("a", ("Dog_bark",), Dog_bark="Bark")

    assert map_columns(r, ("Bark", "Dog_bark")) == ColumnMap((0,), (1,))
    assert map_columns(r, ("Bark", "Rain")) == ColumnMap((0,), (0,))


def test_two_labels_for_one_column_are_refused() -> None:
    """Which of them should win is for a person to say."""
    r = recipe("a", ("Bark", "Dog_bark"), Dog_bark="Bark")

    with pytest.raises(SettingsError, match="labels Bark and Dog_bark both fill column Bark"):
        map_columns(r, ("Bark",))


def test_recipes_without_any_column_are_refused_with_both_lists() -> None:
    """Weights for another contest are seen at the start, and the message shows why."""
    recipes = (recipe("a", ("Bark", "Rain")), recipe("b", ("Yell",)))

    with pytest.raises(SettingsError, match=r"weights know Bark, Rain, Yell, .*columns are Violin, Cello"):
        map_all(recipes, ("Violin", "Cello"))


def test_one_recipe_of_several_may_know_no_column() -> None:
    """Members for other labels stay out of the blend without stopping it."""
    maps = map_all((recipe("a", ("Bark",)), recipe("b", ("Yell",))), ("Yell",))

    assert maps == {"a": ColumnMap((), ()), "b": ColumnMap((0,), (0,))}


def test_priors_come_from_the_first_recipe_that_knows_and_lie_between_0_and_1() -> None:
    """Columns that nobody knows share what is equal: 1 / columns."""
    recipes = (recipe("a", ("Bark",), (0.3,)), recipe("b", ("Bark", "Rain", "Yell"), (0.9, 1.5, -1.0)))
    columns = ("Rain", "Siren", "Bark", "Yell")

    assert column_priors(recipes, map_all(recipes, columns), 4) == [1.0, 0.25, 0.3, 0.0]


def test_labels_where_no_sample_names_them_are_each_there_once_by_their_aliases() -> None:
    """Recipes that name one class differently fill the same column."""
    recipes = [recipe("a", ("Bark", "Rain")), recipe("b", ("Yell", "Dog_bark"), Dog_bark="Bark")]

    labels = tuple(dict.fromkeys(names_of_labels(recipes).values()))

    assert labels == ("Bark", "Rain", "Yell")
    assert map_all(recipes, labels)["b"] == ColumnMap((0, 1), (2, 0))
