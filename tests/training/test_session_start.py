"""First weights of a session of training: found by name in the mount, named where they are not, and begun with."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_tables import TINY
from trained import make_folder

from soundpost.errors import SettingsError
from soundpost.registry import build
from soundpost.training.session import work
from soundpost.training.session.mounts import find_start
from soundpost.training.session.session import Session

PLAN = f"""{TINY}
[optimiser]
name = "adam"
rate = 1e-12
[[stages]]
epochs = 1
batch = 6
"""


def body(seed: int) -> dict[str, torch.Tensor]:
    """Arrays of the plan's network for its two classes."""
    from soundpost.models import MODELS

    torch.manual_seed(seed)
    made = build(MODELS, "compact", {"bins": 16, "widths": [4, 6], "strides": [2, 2]}, "model", 2)
    return {key: value.clone() for key, value in made.state_dict().items()}


@pytest.fixture
def session(tmp_path: Path) -> Session:
    """Clips in the mount, and a plan that learns next to nothing."""
    home = tmp_path / "input" / "datasets" / "me" / "tones"
    home.mkdir(parents=True)
    make_folder(home)
    (tmp_path / "plans" / "tiny").mkdir(parents=True)
    (tmp_path / "plans" / "tiny" / "training.toml").write_text(PLAN)
    paths = {name: str(tmp_path / name) for name in ("plans", "out", "scratch")}
    clips = {"curated": "curated.csv:curated"}
    return Session(**paths, input_root=str(tmp_path / "input"), given=clips, device="cpu", start="bodies")


@pytest.mark.parametrize("mount", ["bodies", "datasets/me/bodies", "models/me/bodies/pytorch/34"])
@pytest.mark.parametrize("name", ["resnet34.pth", "{folder}/resnet34.pth", "{folder}", "{path}"])
def test_first_weights_are_found_by_name_in_every_layout(tmp_path: Path, mount: str, name: str) -> None:
    """The file alone, with its dataset, its dataset alone, or the whole path as Kaggle shows it."""
    file = tmp_path / mount / "resnet34.pth"
    file.parent.mkdir(parents=True)
    file.touch()
    (file.parent / "README.md").touch()

    assert find_start(tmp_path, name.format(folder=file.parent.name, path=file)) == file


def test_folder_of_a_recipe_is_taken_whole(tmp_path: Path) -> None:
    """Each fold begins with the member of its own."""
    recipe = tmp_path / "datasets" / "me" / "recipes" / "v1mix"
    recipe.mkdir(parents=True)
    for fold in "01":
        (recipe / f"fold{fold}.safetensors").touch()

    assert find_start(tmp_path, "recipes/v1mix") == recipe


def test_first_weights_that_are_not_there_are_named_with_those_that_are(tmp_path: Path) -> None:
    """In one line, with the way out."""
    with pytest.raises(SettingsError, match=r"^--start a\.pth: nothing under \S+ is called so\. Attach the dataset"):
        find_start(tmp_path, "a.pth")
    (tmp_path / "bodies").mkdir()
    for number in range(7):
        (tmp_path / "bodies" / f"{number}.pth").touch()
    with pytest.raises(SettingsError, match=r"Weights there: 0\.pth, 1\.pth, 2\.pth, 3\.pth, 4\.pth and 2 more\. Att"):
        find_start(tmp_path, "a.pth")


def test_first_weights_that_are_not_one_are_refused(tmp_path: Path) -> None:
    """Two files of one name, a folder of several, a folder of none."""
    for home in ("one", "two"):
        (tmp_path / home).mkdir()
        (tmp_path / home / "body.pth").touch()
    with pytest.raises(SettingsError, match=r"2 are called so: \S+one/body\.pth, \S+two/body\.pth\. Name more of the"):
        find_start(tmp_path, "body.pth")
    assert find_start(tmp_path, "two/body.pth") == tmp_path / "two" / "body.pth"
    (tmp_path / "two" / "other.safetensors").touch()
    with pytest.raises(SettingsError, match=r"and \S+two has body\.pth, other\.safetensors\. Name the file\."):
        find_start(tmp_path, "two")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SettingsError, match=r"--start empty: a file of weights is needed, and \S+empty has none\."):
        find_start(tmp_path, "empty")


def test_session_begins_its_members_with_what_is_attached(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    """A file for every fold; at next to no rate, members keep its arrays."""
    bodies = Path(session.input_root) / "bodies"
    bodies.mkdir()
    save_file(body(5), bodies / "body.safetensors")

    found = work.look(session)
    work.train(session, "tiny", "1", "cpu", lambda: False, lambda fold, rows: None)

    assert found.refused == {}
    told = f"{bodies / 'body.safetensors'}: {len(body(5))} of {len(body(5))} arrays for fold 1"
    assert told in capsys.readouterr().out
    member = load_file(session.folder("tiny") / "fold1.safetensors")
    torch.testing.assert_close(member["stem.weight"].float(), body(5)["stem.weight"])


def test_session_refuses_at_the_first_look_what_its_members_cannot_begin_with(session: Session) -> None:
    """Nothing is attached, or a recipe of other folds: the plan is refused with the reason, and nothing is trained."""
    assert work.look(session).refused["tiny"].startswith("--start bodies: nothing under ")

    bodies = Path(session.input_root) / "bodies"
    bodies.mkdir()
    save_file(body(5), bodies / "fold1.safetensors")
    refused = work.look(session).refused["tiny"]
    assert refused.startswith(f"--start {bodies}: no fold2.safetensors there. Name a recipe with the same folds")
