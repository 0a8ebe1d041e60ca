"""Networks whose file imports other files of the person's: all of them travel, by themselves, and nothing else does."""

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from soundpost.ensemble.recipes import Recipe
from soundpost.ensemble.weights_folder import find_assets
from soundpost.errors import BundleError, KitError, SettingsError
from soundpost.importers.__main__ import main
from soundpost.importers.add import Adding, add, name_in_submission
from soundpost.importers.network_source import network_source
from soundpost.inference.network import build
from soundpost.kernel import build as kernel_build
from soundpost.kernel import own_source

ROOT = Path(__file__).resolve().parents[2]
LABELS = ("Bark", "Rain", "Siren")
TABLE: dict[str, Any] = {
    "audio": {"sample_rate": 16000},
    "front_end": {"name": "log_mel", "sample_rate": 16000, "n_fft": 512, "hop_length": 256, "n_mels": 16},
    "model": {},
}
FILES = {
    "net.py": """
import os.path
from typing import TYPE_CHECKING

import torch
from torch import nn

import layers
import parts.pooling
from parts import pooling as also
from parts.blocks import *

if TYPE_CHECKING:
    import lightning


class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.body = make(layers.Sizes().width)
        self.head = nn.Linear(layers.Sizes().width, num_classes)

    def forward(self, x):
        assert parts.pooling is also
        return self.head(parts.pooling.pool(self.body(x / 40))) * layers.GAIN


if __name__ == "__main__":
    import wandb
""",
    "layers.py": """
from dataclasses import dataclass

GAIN = 2.0


@dataclass
class Sizes:
    width: int = 4
""",
    "parts/__init__.py": "from . import constants\n",
    "parts/constants.py": "KERNEL = 3\n",
    "parts/blocks.py": """
from torch import nn

from .deep.kernels import kernel


def make(width):
    return nn.Conv2d(1, width, kernel())
""",
    "parts/deep/kernels.py": """
from ..constants import KERNEL


def kernel():
    import layers
    return KERNEL if layers.GAIN else 1
""",
    "parts/pooling.py": "def pool(x):\n    return x.mean(dim=(2, 3))\n",
}
CARRIED = [name for name in FILES if name != "net.py"]


class Project:
    """A person's folder: files of code, a checkpoint, weights/ elsewhere."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "project"
        self.weights = folder / "weights"
        self.weights.mkdir()
        self.checkpoint = folder / "fold0.pth"
        self.write(FILES)
        self.write({"train.py": "import wandb\n", "parts/unused.py": "import wandb\n"})
        torch.manual_seed(0)
        state = {
            "body.weight": torch.randn(4, 1, 3, 3),
            "body.bias": torch.randn(4),
            "head.weight": torch.randn(3, 4),
            "head.bias": torch.randn(3),
        }
        torch.save(state, self.checkpoint)
        self.state = state

    def write(self, files: dict[str, str]) -> None:
        """Files by their path."""
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def add(self, name: str = "mine", **model: Any) -> Recipe:
        """The recipe that comes of the file."""
        adding = Adding(network=f"{self.folder / 'net.py'}:Net")
        recipe = add([self.checkpoint], self.weights, name, {**TABLE, "model": model}, LABELS, adding)
        name_in_submission(self.weights, name, alone=False)
        return recipe

    def expected(self, batch: torch.Tensor) -> torch.Tensor:
        """What the network answers, computed without its files."""
        body = torch.nn.functional.conv2d(batch / 40, self.state["body.weight"], self.state["body.bias"])
        return torch.nn.functional.linear(body.mean(dim=(2, 3)), self.state["head.weight"], self.state["head.bias"]) * 2


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A network of seven files beside two that it does not import."""
    return Project(tmp_path)


def answers(weights: Path, name: str, batch: np.ndarray) -> np.ndarray:
    """What a recipe of a weights folder answers, in whatever process this runs."""
    assets = find_assets(weights)
    recipe = next(recipe for recipe in assets.submission.recipes if recipe.name == name)
    network = build(recipe, recipe.members[0], assets.arrays(recipe.members[0]))
    with torch.inference_mode():
        return network(torch.from_numpy(batch)).numpy()


def noise() -> np.ndarray:
    """Two windows (batch, channels, bins, frames)."""
    return np.random.default_rng(0).standard_normal((2, 1, 16, 40)).astype(np.float32)


# ------------------------------------------------------------ what travels


def test_network_of_files_travels_whole_and_alone(project: Project) -> None:
    """Siblings, a package folder, a folder without __init__.py, relative imports and one within a function."""
    recipe = project.add()

    assert recipe.model.settings["file"] == "net.py"
    assert recipe.model.settings["files"] == sorted(CARRIED)
    lying = {path.relative_to(project.weights / "mine").as_posix() for path in (project.weights / "mine").rglob("*.py")}
    assert lying == {*FILES}
    kernel = kernel_build.build(ROOT / "src", project.weights / "submission.toml")
    listed = {name for name in FILES if f"# weights/mine/{name} " in kernel.text}
    assert listed == {*FILES}
    assert "unused.py" not in kernel.text


def test_network_of_files_answers_from_its_recipe_folder_alone(project: Project) -> None:
    """The person's folder is gone, nothing is left under the names of the files, and no compiled file is written."""
    project.add()
    for name in FILES:
        (project.folder / name).unlink()

    found = answers(project.weights, "mine", noise())

    assert np.allclose(found, project.expected(torch.from_numpy(noise())).numpy(), atol=1e-6)
    assert not {"net", "layers", "parts", "parts.blocks"} & set(sys.modules)
    assert list(project.weights.rglob("*.pyc")) == []


def test_two_recipes_with_files_of_the_same_names_keep_theirs(project: Project) -> None:
    """Each answers by its own layers.py, whichever was loaded first."""
    project.add("loud")
    project.write({"layers.py": FILES["layers.py"].replace("2.0", "1.0")})
    project.add("quiet")

    loud, quiet = (answers(project.weights, name, noise()) for name in ("loud", "quiet"))

    assert np.allclose(loud, 2 * quiet, atol=1e-6)
    assert np.abs(quiet).max() > 0.01


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_network_of_files_answers_in_another_process(project: Project, method: str) -> None:
    """The processes of a run are started either way."""
    project.add()

    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(method)) as pool:
        found = pool.submit(answers, project.weights, "mine", noise()).result(timeout=120)

    assert np.allclose(found, project.expected(torch.from_numpy(noise())).numpy(), atol=1e-6)


def test_file_that_is_not_listed_is_not_found_beside_the_others(project: Project) -> None:
    """What the recipe does not name does not travel, so it must not help here either."""
    recipe = project.add()
    path = project.weights / "mine" / "recipe.toml"
    path.write_text(path.read_text().replace('"parts/constants.py",', ""))
    assert (project.weights / "mine" / "parts" / "constants.py").is_file()

    with pytest.raises(SettingsError, match=r"net\.py: cannot import name 'constants'"):
        answers(project.weights, recipe.name, noise())


# ------------------------------------------------------------ where imports begin


def test_import_path_begins_where_the_command_runs(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Python itself would find the module."""
    project.write(
        {"nets/cnn.py": FILES["net.py"].replace("import layers", "import nets.own, layers"), "nets/own.py": ""}
    )
    monkeypatch.chdir(project.folder)

    code = network_source("nets.cnn:Net", {}, len(LABELS)).code

    assert code is not None
    assert code.file == "nets/cnn.py"
    assert {"nets/own.py", "layers.py", "parts/deep/kernels.py"} <= set(code.others)


def test_file_in_a_folder_finds_imports_that_begin_above_it(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """nets/cnn.py says `from nets.own import ...`, as it does where it is run from above."""
    project.write({"nets/cnn.py": f"from nets.own import x\n{FILES['net.py']}", "nets/own.py": "x = 1"})
    monkeypatch.chdir(project.folder)

    code = network_source("nets/cnn.py:Net", {}, len(LABELS)).code

    assert code is not None
    assert (code.root, code.file) == (project.folder, "nets/cnn.py")


def test_file_of_a_package_takes_the_packages_around_it(project: Project) -> None:
    """An import of it runs their __init__.py, so they travel."""
    project.write({"__init__.py": "", "net.py": "from .layers import Sizes\nfrom torch.nn import Linear as Net\n"})

    source = network_source(f"{project.folder / 'net.py'}:Net", {"in_features": 4}, len(LABELS))

    assert source.code is not None
    assert source.code.file == "project/net.py"
    assert source.code.others == ("project/__init__.py", "project/layers.py")


# ------------------------------------------------------------ what is said at add


def test_add_lists_the_files_with_their_sizes(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """What leaves this machine is seen before it does."""
    (project.folder / "mine.toml").write_text(
        "[audio]\nsample_rate = 16000\n[front_end]\nname = 'log_mel'\nsample_rate = 16000\nn_fft = 512\n"
        "hop_length = 256\nn_mels = 16\n"
    )
    (project.folder / "labels.txt").write_text("\n".join(LABELS))
    arguments = ["--network", f"{project.folder / 'net.py'}:Net", "--checkpoint", str(project.checkpoint)]
    arguments += ["--recipe", "mine", "--settings", str(project.folder / "mine.toml")]
    arguments += ["--labels", str(project.folder / "labels.txt"), "--weights", str(project.weights)]

    assert main(["add", *arguments]) == 0

    printed = capsys.readouterr().out
    total = sum(len(text.encode()) for text in FILES.values())
    assert f"code that travels: 7 files, {total:,} bytes" in printed
    for name, text in FILES.items():
        assert f"{name} {len(text.encode()):,} bytes" in " ".join(printed.split())


@pytest.mark.parametrize(
    ("files", "words", "kind"),
    [
        ({"layers.py": "import wandb\n"}, r"layers\.py:1: imports wandb, which is no file beside it", BundleError),
        ({"parts/deep/kernels.py": "import x y\n"}, r"kernels\.py:1: invalid syntax", BundleError),
        ({"parts/pooling.py": "from .lost import x\n"}, r"lost\.py is not there", BundleError),
        ({"parts/pooling.py": "from .deep import lost\n"}, r"imports lost from the folder .*deep", BundleError),
        ({"profile.py": "", "layers.py": "import profile\n"}, r"layers\.py:1: imports profile, .* also", BundleError),
        ({"timm/__init__.py": "", "layers.py": "import timm\n"}, r"imports timm, .* Rename the file", BundleError),
        ({"layers.py": f"{FILES['layers.py']}open({'gain.json'!r})\n"}, r"gain\.json is not there", SettingsError),
        ({"layers.py": f"{FILES['layers.py']}raise OverflowError(7)\n"}, r"net\.py cannot be run: Over", SettingsError),
        (
            {"parts/blocks.py": "def make(width): raise OverflowError(7)\n"},
            r"Net of net\.py cannot be made",
            SettingsError,
        ),
    ],
)
def test_add_files_that_a_kernel_cannot_carry_are_refused(
    project: Project, files: dict[str, str], words: str, kind: type[KitError]
) -> None:
    """By the file and the line that it is about, also where another file imports it, and before anything is written."""
    project.write(files)

    with pytest.raises(kind, match=words):
        project.add()
    assert list(project.weights.iterdir()) == []


def test_add_file_that_is_not_python_is_missed_at_once(project: Project) -> None:
    """Read from the person's own folder it would be there, and in the kernel it would not."""
    read = "\nfrom pathlib import Path\nGAIN = float((Path(__file__).parent / 'gain.txt').read_text())\n"
    project.write({"gain.txt": "2.0", "layers.py": FILES["layers.py"] + read})

    with pytest.raises(SettingsError, match=r"gain\.txt is not there .* Only files of Python travel"):
        project.add()
    assert list(project.weights.iterdir()) == []


def test_add_import_that_no_statement_names_is_refused(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here it is found because the folder is on the path; a kernel would look for it in vain."""
    monkeypatch.syspath_prepend(str(project.folder))
    project.write({"hidden_gain.py": "GAIN = 2.0\n"})
    found = "\nfrom importlib import import_module\nGAIN = import_module('hidden_' + 'gain').GAIN\n"
    project.write({"layers.py": FILES["layers.py"] + found})

    with pytest.raises(BundleError, match=r"net\.py loads .*hidden_gain\.py as hidden_gain, and no import statement"):
        project.add()
    assert list(project.weights.iterdir()) == []
    sys.modules.pop("hidden_gain")


def test_add_files_too_large_for_a_kernel_are_refused(project: Project) -> None:
    """Numbers that do not compress, written into the code."""
    digits = "".join(map(str, np.random.default_rng(0).integers(0, 10**9, 200_000)))
    project.write({"layers.py": f"{FILES['layers.py']}TABLE = '{digits}'\n"})

    with pytest.raises(BundleError, match=r"the largest is layers\.py, 1,7\d\d,\d\d\d characters"):
        project.add()
    assert list(project.weights.iterdir()) == []


def test_package_that_a_person_names_is_not_looked_for_beside_the_file(project: Project) -> None:
    """packages in [model] says which of the two is meant."""
    project.write({"profile.py": "raise OSError\n", "layers.py": f"import profile\n{FILES['layers.py']}"})

    recipe = project.add(packages=["profile"])

    assert "profile.py" not in recipe.model.settings["files"]
    assert recipe.model.settings["packages"] == ["profile"]


def test_source_of_a_main_block_with_an_else_is_read(project: Project) -> None:
    """What an import runs counts, wherever it stands."""
    main_block = "if __name__ == '__main__':\n    import wandb\nelse:\n    import layers\n"
    project.write({"net.py": main_block})

    found = own_source.needs(project.folder, "net.py")

    assert found.files == ("layers.py",)
