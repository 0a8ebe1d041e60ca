"""Recipes: everything about a member as data; what cannot be used is refused with the file and the way out."""

import pytest
import tomli_w

from soundpost.ensemble.recipes import parse_recipe, parse_submission
from soundpost.errors import SettingsError

TABLE = {
    "format": 1,
    "name": "tiny",
    "labels": ["Bark", "Rain"],
    "front_end": {"name": "log_mel", "n_mels": 16},
    "model": {"name": "compact"},
    "members": [{"fold": 1, "file": "fold1.safetensors", "sha256": "00", "scores": {"lwlrap": 0.9}}],
}


def text(**changed: object) -> str:
    return tomli_w.dumps({key: value for key, value in {**TABLE, **changed}.items() if value is not None})


def test_recipe_with_the_least_in_it_gets_defaults() -> None:
    """Equal priors, the whole clip as one view, means of sigmoid probabilities."""
    recipe = parse_recipe(text(), "tiny/recipe.toml")

    assert recipe.priors == (0.5, 0.5)
    assert [view.name for view in recipe.views] == ["whole"]
    assert (recipe.average, recipe.activation) == ("probability", "sigmoid")
    assert recipe.members[0].name == "tiny/1"
    assert recipe.front_end.settings == {"n_mels": 16}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"format": 2}, "format 2, this kit reads 1"),
        ({"labels": None}, "labels missing"),
        ({"labels": []}, "labels must be distinct and at least one, got 0"),
        ({"labels": ["Bark", "Bark"]}, "labels must be distinct"),
        ({"priors": [0.5]}, "2 labels but 1 priors"),
        ({"aliases": {"Dog": "Bark"}}, "aliases for Dog, which are no labels"),
        ({"average": "median"}, "average = 'median'; known: probability, logit"),
        ({"activation": "relu"}, "activation = 'relu'; known: sigmoid, softmax"),
        ({"veiws": []}, "unknown key veiws; known: activation"),
        ({"model": {"width": 3}}, r"\[model\]: name missing"),
        ({"members": []}, "no member or no view"),
        ({"views": []}, "no member or no view"),
        ({"members": [{"fold": 1, "file": "x"}]}, "a member without sha256"),
    ],
)
def test_recipe_that_cannot_be_used_is_refused(changed: dict[str, object], words: str) -> None:
    """The message names the file, the key and its value."""
    with pytest.raises(SettingsError, match=rf"tiny/recipe\.toml.*{words}"):
        parse_recipe(text(**changed), "tiny/recipe.toml")


def test_recipe_that_is_no_toml_is_refused() -> None:
    """A torn file is said to be one."""
    with pytest.raises(SettingsError, match=r"tiny/recipe\.toml: not TOML"):
        parse_recipe("labels = [", "tiny/recipe.toml")


def test_digest_is_that_of_front_end_and_audio_alone() -> None:
    """Members whose spectrograms are equal share them, whatever network looks at them."""
    base = parse_recipe(text(), "x").digest()

    other_network = text(name="other", model={"name": "argus_fcnet"}, labels=["Yell"], views=[{"name": "tiles"}])
    assert parse_recipe(other_network, "x").digest() == base
    for changed in (
        {"audio": {"sample_rate": 16000}},
        {"audio": {"trim_db": 60.0}},
        {"front_end": {"name": "log_mel", "n_mels": 17}},
        {"front_end": {"name": "pcen", "n_mels": 16}},
    ):
        assert parse_recipe(text(**changed), "x").digest() != base, changed


def test_submission_names_its_recipes_and_blend() -> None:
    """A blend may be a word or a table."""
    simple = parse_submission('format = 1\nrecipes = ["tiny"]\n', {"tiny": text()}, "submission.toml")
    table = 'format = 1\nrecipes = ["tiny"]\n[blend]\nname = "power"\nexponent = 2.0\n'
    blended = parse_submission(table, {"tiny": text()}, "submission.toml").blend

    assert simple.blend.name == "mean"
    assert [recipe.name for recipe in simple.recipes] == ["tiny"]
    assert (blended.name, blended.settings) == ("power", {"exponent": 2.0})


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ('format = 1\nrecipes = ["absent"]\n', r"recipes \['absent'\] not found; known: tiny"),
        ("format = 1\nrecipes = []\n", "not found; known: tiny"),
        ('format = 1\nrecipes = ["tiny"]\nsecond_level = ["x"]\n', r"recipes \['x'\] not found"),
        ('recipes = ["tiny"]\n', "format None, this kit reads 1"),
        ('format = 1\nrecipe = ["tiny"]\n', "unknown key recipe"),
    ],
)
def test_submission_that_cannot_be_used_is_refused(toml: str, words: str) -> None:
    """The message lists the recipes that are there."""
    with pytest.raises(SettingsError, match=words):
        parse_submission(toml, {"tiny": text()}, "submission.toml")
