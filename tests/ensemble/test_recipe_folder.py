"""Recipe folders as trainer and importers write them: what goes in comes out, and no failure leaves a recipe."""

from pathlib import Path

import numpy as np
import pytest

from soundpost.ensemble.recipe_folder import NewMember, fold_file, write_recipe
from soundpost.ensemble.recipes import parse_recipe
from soundpost.ensemble.weights_file import load_arrays
from soundpost.errors import SettingsError

TABLE = {"front_end": {"name": "log_mel"}, "model": {"name": "compact"}}
ARRAYS = {
    "weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "turned": np.arange(6, dtype=np.float16).reshape(2, 3).T,
    "num_batches_tracked": np.array(7, np.int64),
    "empty": np.zeros((0, 4), np.float32),
}


def test_recipe_folder_gives_back_arrays_in_their_shapes(tmp_path: Path) -> None:
    """A counter without axes stays without axes, and an array that lies turned in memory comes back as it is read."""
    recipe = write_recipe(tmp_path / "mine", "mine", TABLE, ["Bark", "Meow"], [NewMember("3", ARRAYS, {"lwlrap": 0.5})])

    member = recipe.members[0]
    found = load_arrays(tmp_path / "mine" / member.file, member.sha256, member.name)
    assert {name: array.shape for name, array in found.items()} == {n: a.shape for n, a in ARRAYS.items()}
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(array, found[name])


def test_recipe_folder_reads_back_as_the_recipe_that_was_written(tmp_path: Path) -> None:
    """recipe.toml says the same as what the writer returned, scores and file names included."""
    written = write_recipe(tmp_path, "mine", TABLE, ["Bark"], [NewMember("0", ARRAYS, {"lwlrap": 0.75})])

    assert parse_recipe((tmp_path / "recipe.toml").read_text("utf-8"), "recipe.toml") == written
    assert fold_file(tmp_path, "0").name == written.members[0].file
    assert written.members[0].scores == {"lwlrap": 0.75}


def test_recipe_folder_takes_a_fold_file_that_is_there(tmp_path: Path) -> None:
    """A recipe can be written again without its arrays in memory; the sha256 is that of the file."""
    first = write_recipe(tmp_path, "mine", TABLE, ["Bark"], [NewMember("0", ARRAYS)])

    again = write_recipe(tmp_path, "mine", TABLE, ["Bark"], [NewMember("0")])

    assert again == first


def test_recipe_folder_of_no_recipe_is_refused_without_a_recipe_file(tmp_path: Path) -> None:
    """Labels that are not distinct make no recipe, so that nothing can be mistaken for one."""
    with pytest.raises(SettingsError, match="labels must be distinct"):
        write_recipe(tmp_path, "mine", TABLE, ["Bark", "Bark"], [NewMember("0", ARRAYS)])

    assert not (tmp_path / "recipe.toml").exists()
