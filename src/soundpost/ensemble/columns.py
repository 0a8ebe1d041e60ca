"""Labels of recipes -> columns of the submission, by name and never by position."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from soundpost.ensemble.recipes import Recipe
from soundpost.errors import SettingsError


@dataclass(frozen=True)
class ColumnMap:
    """Where a recipe's classes go: class classes[i] fills column columns[i]."""

    classes: tuple[int, ...]
    columns: tuple[int, ...]


def map_columns(recipe: Recipe, columns: Sequence[str], synonyms: Mapping[str, str] | None = None) -> ColumnMap:
    """The columns that a recipe can fill: a label's own name first, else its alias, else what the contest calls it.

    Args:
        recipe: the one with the labels.
        columns: those of the submission.
        synonyms: label -> column, as the contest's taxonomy tells.

    Raises:
        SettingsError: two labels claim one column.
    """
    index = {name: i for i, name in enumerate(columns)}
    claimed: dict[int, str] = {}
    classes, filled = [], []
    for number, label in enumerate(recipe.labels):
        names = (label, recipe.aliases.get(label, ""), (synonyms or {}).get(label, ""))
        column = next((index[name] for name in names if name in index), None)
        if column is None:
            continue
        if column in claimed:
            raise SettingsError(
                f"recipe {recipe.name}: labels {claimed[column]} and {label} both fill column {columns[column]}. "
                "Remove one alias from recipe.toml."
            )
        claimed[column] = label
        classes.append(number)
        filled.append(column)
    return ColumnMap(tuple(classes), tuple(filled))


def map_all(
    recipes: Sequence[Recipe], columns: Sequence[str], synonyms: Mapping[str, str] | None = None
) -> dict[str, ColumnMap]:
    """Every recipe's map, by recipe name.

    Raises:
        SettingsError: no recipe fills any column; the message shows both lists' heads.
    """
    maps = {recipe.name: map_columns(recipe, columns, synonyms) for recipe in recipes}
    if not any(m.columns for m in maps.values()):
        known = ", ".join(list(dict.fromkeys(label for r in recipes for label in r.labels))[:5])
        raise SettingsError(
            f"no label of the weights is a column of the sample submission: weights know {known}, ...; "
            f"columns are {', '.join(columns[:5])}, .... A sample has a column for each class, or 'label' alone, for "
            "the likeliest classes of a clip. Use weights for this contest, or add [aliases] to the recipe."
        )
    return maps


def names_of_labels(recipes: Sequence[Recipe]) -> dict[str, str]:
    """Every label of the recipes -> its alias, or itself where it has none."""
    return {label: recipe.aliases.get(label, label) for recipe in recipes for label in recipe.labels}


def column_priors(recipes: Sequence[Recipe], maps: dict[str, ColumnMap], n_columns: int) -> list[float]:
    """What a clip without an answer gets: the first knowing recipe's prior; elsewhere 1 / columns."""
    priors = [1.0 / n_columns] * n_columns
    for recipe in reversed(recipes):
        for number, column in zip(maps[recipe.name].classes, maps[recipe.name].columns, strict=True):
            priors[column] = min(1.0, max(0.0, recipe.priors[number]))
    return priors
