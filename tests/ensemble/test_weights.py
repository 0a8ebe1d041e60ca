"""Members' files: read after their hash was found right, refused with a name and a way out otherwise."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from soundpost.ensemble.weights_file import load_arrays, sha256_of
from soundpost.ensemble.weights_folder import default_root, find_assets
from soundpost.errors import SettingsError, WeightsError
from soundpost.kernel.pack import pack

ARRAYS = {"conv.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "count": np.array(7)}
RECIPE = """format = 1
name = "compact"
labels = ["Rain", "Bark"]
front_end = {{ name = "log_mel" }}
model = {{ name = "compact" }}

[[members]]
fold = "1"
file = "{file}"
sha256 = "{sha256}"
"""


@pytest.fixture(params=["fold1.safetensors", "fold1.pack"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """One member's file, in each of its two forms."""
    path = tmp_path / request.param
    if path.suffix == ".pack":
        path.write_bytes(pack(ARRAYS, {}))
    else:
        save_file(ARRAYS, path)
    return path


def test_load_arrays_either_form_gives_the_same_arrays(file: Path) -> None:
    """Who asks for a member's arrays need not know whether it travels as safetensors or in a kernel."""
    arrays = load_arrays(file, sha256_of(file), "compact/1")

    assert sorted(arrays) == sorted(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array)


def test_load_arrays_altered_file_is_refused(file: Path) -> None:
    """One changed bit is enough."""
    sha256 = sha256_of(file)
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)

    with pytest.raises(WeightsError, match=rf"member compact/1: .*{file.name} has sha256 \w+.*Take the file"):
        load_arrays(file, sha256, "compact/1")


def test_load_arrays_missing_file_is_named(file: Path) -> None:
    """A member without its file is an error that says which file and which member."""
    with pytest.raises(WeightsError, match=r"member compact/1: .*gone.pack is not there.*leave the member out"):
        load_arrays(file.with_name("gone.pack"), "0" * 64, "compact/1")


@pytest.mark.parametrize(("name", "words"), [("a.safetensors", "is not safetensors"), ("a.pack", "not a pack")])
def test_load_arrays_other_content_is_refused(tmp_path: Path, name: str, words: str) -> None:
    """A right hash of a wrong file is still a wrong file."""
    path = tmp_path / name
    path.write_bytes(b"PK\x03\x04 a zip with a pickle inside")

    with pytest.raises(WeightsError, match=f"member compact/1: .*{words}"):
        load_arrays(path, sha256_of(path), "compact/1")


def test_find_assets_reads_submission_and_arrays_of_a_folder(file: Path, tmp_path: Path) -> None:
    """The same tree serves in the repository and in a kernel: submission, recipes, members' files."""
    folder = tmp_path / "weights" / "compact"
    folder.mkdir(parents=True)
    (folder / "recipe.toml").write_text(RECIPE.format(file=file.name, sha256=sha256_of(file)))
    (folder.parent / "submission.toml").write_text('format = 1\nrecipes = ["compact"]\n')
    file.rename(folder / file.name)

    assets = find_assets(folder.parent)

    (member,) = assets.submission.recipes[0].members
    assert assets.path(member) == folder / file.name
    np.testing.assert_array_equal(assets.arrays(member)["conv.weight"], ARRAYS["conv.weight"])


def test_find_assets_empty_folder_says_what_is_missing(tmp_path: Path) -> None:
    """A wrong folder is a wrong setting, and is named."""
    with pytest.raises(SettingsError, match=r"submission.toml is not there. Name the folder"):
        find_assets(tmp_path)


def test_default_root_in_the_repository_is_its_weights_folder() -> None:
    """Run from the source, the kit reads the weights that lie in the same checkout."""
    assert default_root() == Path(__file__).resolve().parents[2] / "weights"
