"""Networks by file, by import path and by a library's name: how they become recipes, and what is refused at once."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import torchvision_beside_cpu_torch  # noqa: F401  lets torchvision be imported
from torchvision_beside_cpu_torch import has_timm

import soundpost
from soundpost.ensemble.recipes import Recipe
from soundpost.ensemble.weights_folder import find_assets
from soundpost.errors import BundleError, KitError, SettingsError, WeightsError
from soundpost.importers.__main__ import main
from soundpost.importers.add import Adding, add, name_in_submission
from soundpost.importers.matching import adapted, read_renames
from soundpost.importers.network_source import network_source
from soundpost.inference.network import build
from soundpost.kernel import build as kernel_build
from soundpost.launch.requirements import lacking
from soundpost.models.own_network import chosen

ROOT = Path(__file__).resolve().parents[2]
LABELS = ("Bark", "Rain", "Siren")
TABLE: dict[str, Any] = {
    "audio": {"sample_rate": 16000},
    "front_end": {"name": "log_mel", "sample_rate": 16000, "n_fft": 512, "hop_length": 256, "n_mels": 16},
    "model": {},
}
CODE = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, num_classes, width=4, answer="logits"):
        super().__init__()
        self.answer = answer
        self.body = nn.Conv2d(1, width, 3)
        self.head = nn.Linear(width, num_classes)

    def forward(self, x):
        logits = self.head(self.body(x / 40).mean(dim=(2, 3)))
        if self.answer == "dict":
            return {"embedding": x, "heads": [logits * 2, logits]}
        if self.answer == "tuple":
            return x, logits
        return logits.sigmoid() if self.answer == "probabilities" else logits
"""


class Trained:
    """A person's folder: code, a checkpoint and weights/."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.code = folder / "net.py"
        self.checkpoint = folder / "fold0.pth"
        self.weights = folder / "weights"
        self.weights.mkdir()
        self.write(CODE)

    def write(self, code: str, **arguments: Any) -> None:
        """Code, and a checkpoint of its network with a number of numpy beside it."""
        self.code.write_text(code)
        holder: dict[str, Any] = {"__name__": "net"}
        exec(code, holder)
        torch.manual_seed(0)
        state = holder["Net"](len(LABELS), **arguments).state_dict()
        torch.save({"best": np.float64(0.7), "fold": np.int64(0), "model": state}, self.checkpoint)

    def add(self, model: dict[str, Any] | None = None, table: dict[str, Any] | None = None, **said: Any) -> Recipe:
        """The recipe that comes of it."""
        whole = {**TABLE, "model": model or {}, **(table or {})}
        adding = Adding(**{"network": f"{self.code}:Net", **said})
        return add([self.checkpoint], self.weights, "mine", whole, LABELS, adding)


@pytest.fixture
def trained(tmp_path: Path) -> Trained:
    """A network in a file, with one fold."""
    return Trained(tmp_path)


# ------------------------------------------------------------ what comes in


def test_add_network_of_a_file_travels_with_recipe_and_kernel(trained: Trained) -> None:
    """The file lies beside recipe.toml, and in the kernel's source as it is."""
    recipe = trained.add({"width": 4})
    name_in_submission(trained.weights, "mine", alone=True)

    assert recipe.model.name == "own"
    assert recipe.model.settings["arguments"] == {"width": 4, "num_classes": 3}
    assert (trained.weights / "mine" / "net.py").read_text() == CODE
    kernel = kernel_build.build(ROOT / "src", trained.weights / "submission.toml")
    assert "weights/mine/net.py" in kernel.text
    assert "# soundpost/models/own_network.py" in kernel.text
    assert "soundpost/models/compact.py" not in kernel.text


def test_added_network_answers_as_its_own_code(trained: Trained) -> None:
    """Read back through the weights folder, as a run does."""
    trained.add()
    name_in_submission(trained.weights, "mine", alone=True)
    assets = find_assets(trained.weights)
    (recipe,) = assets.submission.recipes
    network = build(recipe, recipe.members[0], assets.arrays(recipe.members[0]))
    holder: dict[str, Any] = {"__name__": "net"}
    exec(CODE, holder)
    own = holder["Net"](len(LABELS))
    own.load_state_dict(torch.load(trained.checkpoint, weights_only=False)["model"])
    batch = torch.randn(2, 1, 16, 40)

    with torch.inference_mode():
        assert torch.equal(network(batch), own(batch))


@pytest.mark.parametrize("output", ["heads.1", "heads.0"])
def test_add_output_of_a_dict_is_taken_by_key(trained: Trained, output: str) -> None:
    """Also one within another."""
    trained.write(CODE, answer="dict")

    recipe = trained.add({"answer": "dict", "output": output})

    assert recipe.model.settings["output"] == output
    with pytest.raises(SettingsError, match=r"answers with dict: embedding .*heads\.0 \(2, 3\), heads\.1"):
        trained.add({"answer": "dict"}, replace=True)
    with pytest.raises(SettingsError, match=r"output 'heads\.2' is not there; known: embedding"):
        trained.add({"answer": "dict", "output": "heads.2"}, replace=True)


def test_chosen_output_of_a_tuple_is_taken_by_place() -> None:
    """As torchaudio's and torchvision's networks answer."""
    assert chosen((torch.zeros(1), torch.ones(2)), "1").tolist() == [1.0, 1.0]


def test_add_output_of_a_tuple_is_taken_by_place(trained: Trained) -> None:
    """As torchaudio's pipelines and many a notebook's networks answer."""
    trained.write(CODE, answer="tuple")

    assert trained.add({"answer": "tuple", "output": "1"}).model.settings["output"] == "1"
    with pytest.raises(SettingsError, match=r"answers with tuple: 0 \(2, 1, 16, \d+\), 1 \(2, 3\)"):
        trained.add({"answer": "tuple"}, replace=True)


def test_add_axes_and_channels_fit_networks_of_other_habits(trained: Trained) -> None:
    """(batch, frames, bins), as PANNs takes them after its front end; three channels out of one."""
    swapped = CODE.replace("self.body(x / 40)", "self.body(x.unsqueeze(1).expand(-1, 1, -1, 16) / 40)")
    trained.write(swapped)
    recipe = trained.add({"axes": ["batch", "frames", "bins"]})

    trained.write(CODE.replace("Conv2d(1, width", "Conv2d(3, width"))
    colours = trained.add({"channels": 3}, replace=True)

    assert recipe.model.settings["axes"] == ["batch", "frames", "bins"]
    assert colours.model.settings["channels"] == 3


@pytest.mark.skipif(not has_timm(), reason="timm and torchvision are not installed; see requirements-timm.txt")
@pytest.mark.parametrize(
    ("network", "name", "packages"),
    [("timm:test_efficientnet", "timm", None), ("torchvision:squeezenet1_1", "own", ["torchvision"])],
)
def test_add_network_of_a_library_by_name(tmp_path: Path, network: str, name: str, packages: list[str] | None) -> None:
    """No code travels; what must be there is written down."""
    import timm
    import torchvision

    torch.manual_seed(0)
    library, _, called = network.partition(":")
    if library == "timm":
        made = timm.create_model(called, num_classes=len(LABELS), in_chans=3)
    else:
        made = torchvision.models.get_model(called, num_classes=len(LABELS))
    torch.save(made.state_dict(), tmp_path / "fold0.pth")
    front_end = {**TABLE["front_end"], "n_mels": 64}

    adding = Adding(network=network, is_logits=library == "torchvision")
    recipe = add([tmp_path / "fold0.pth"], tmp_path, "mine", {**TABLE, "front_end": front_end}, LABELS, adding)

    assert recipe.model.name == name
    assert recipe.model.settings.get("packages") == packages
    assert lacking([recipe], lambda _: True) == []
    (told,) = lacking([recipe], lambda _: False)
    assert f"needs {library}, not installed here" in told


def test_add_import_path_of_a_persons_module_travels_as_a_file(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module that lies where one works is the person's own."""
    monkeypatch.chdir(trained.folder)

    recipe = trained.add(network="net:Net")

    assert recipe.model.settings["file"] == "net.py"
    assert (trained.weights / "mine" / "net.py").is_file()


# ------------------------------------------------------------ names and arrays


def test_adapted_drops_strips_and_renames_by_pattern() -> None:
    """In this order, so that what is dropped cannot stand in the way."""
    arrays = {name: torch.zeros(1) for name in ("ema.a", "net_1.body.w", "net_1.fc.w", "net_1.mel.filter")}

    found = adapted(arrays, ["ema.*", "*.mel.filter"], ["net_*."], {"fc.": "head."}, "x.pth")

    assert list(found) == ["body.w", "head.w"]


@pytest.mark.parametrize(
    ("drop", "strip", "words"),
    [
        (["no.*"], [], r"--drop 'no\.\*' matches none of a\.w, b\.w"),
        ([], ["no."], r"--strip 'no\.' begins none of"),
        ([], ["?."], "makes two names of x.pth the same"),
    ],
)
def test_adapted_pattern_that_does_nothing_or_too_much_is_refused(
    drop: list[str], strip: list[str], words: str
) -> None:
    """A pattern with a slip in it would show as another trouble later."""
    arrays = {"a.w": torch.zeros(1), "b.w": torch.zeros(1)}

    with pytest.raises(SettingsError, match=words):
        adapted(arrays, drop, strip, {}, "x.pth")


@pytest.mark.parametrize("text", ["a", "=b"])
def test_rename_without_both_sides_is_refused(text: str) -> None:
    """An empty beginning would rename everything."""
    with pytest.raises(SettingsError, match="is not OLD=NEW"):
        read_renames([text])


# ------------------------------------------------------------ what is refused


def test_add_probabilities_are_refused_until_activation_says_none(trained: Trained) -> None:
    """A sigmoid on top of a sigmoid changes which label comes first after a blend."""
    trained.write(CODE, answer="probabilities")

    with pytest.raises(
        WeightsError, match=r"never outside \[0, 1\]: they look like probabilities, .* activation = \"none\""
    ):
        trained.add({"answer": "probabilities"})
    recipe = trained.add({"answer": "probabilities"}, {"activation": "none"})

    assert recipe.activation == "none"


def test_add_logits_with_activation_none_are_refused(trained: Trained) -> None:
    """The other way round they would be probabilities below 0."""
    with pytest.raises(WeightsError, match='activation = "none" takes them for probabilities'):
        trained.add(table={"activation": "none"})


def test_add_weights_that_are_no_numbers_are_refused(trained: Trained) -> None:
    """Which array, and how much of it."""
    state = torch.load(trained.checkpoint, weights_only=False)["model"]
    state["head.weight"][0, 1] = torch.nan
    torch.save(state, trained.checkpoint)

    with pytest.raises(WeightsError, match=r"head\.weight holds 1 of 12 values that are not finite"):
        trained.add()


def test_add_array_of_a_kind_that_no_kernel_carries_is_refused(trained: Trained) -> None:
    """A window of complex numbers, say; found at the build, it would cost another import."""
    trained.write(CODE.replace("        self.answer = answer", "        self.answer = answer\n        "
                               "self.register_buffer('turns', torch.ones(2, dtype=torch.complex64))"))  # fmt: skip

    with pytest.raises(WeightsError, match="turns is complex64, which a kernel cannot carry"):
        trained.add()


@pytest.mark.parametrize("name", ["my/net", "../mine", "", ".hidden", "mine "])
def test_add_name_that_is_no_folders_is_refused(trained: Trained, name: str) -> None:
    """A slash would put the recipe where no submission finds it."""
    with pytest.raises(SettingsError, match="cannot be a folder's name"):
        add([trained.checkpoint], trained.weights, name, TABLE, LABELS, Adding(network=f"{trained.code}:Net"))
    assert list(trained.weights.iterdir()) == []


def test_add_recipe_that_is_there_stays_until_it_is_said_to_go(trained: Trained) -> None:
    """Also where the new one fails, the old one is whole."""
    trained.add()
    before = (trained.weights / "mine" / "recipe.toml").read_text()

    with pytest.raises(SettingsError, match="mine is there already, and stays"):
        trained.add({"width": 8})
    with pytest.raises(WeightsError, match=r"is \(4, 1, 3, 3\) in the file"):
        trained.add({"width": 8}, replace=True)
    assert (trained.weights / "mine" / "recipe.toml").read_text() == before
    trained.write(CODE, width=8)
    assert trained.add({"width": 8}, replace=True).model.settings["arguments"]["width"] == 8


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("import einops", r"net\.py:1: imports einops, which is no file beside it and not among what a kernel may use"),
        ("from . import blocks", r"net\.py:1: imports blocks from the folder .*, which has no such module"),
        ("from .. import layers", r"net\.py:1: imports from \.\., above the folder that the network was named in"),
        ("import blocks.layers", r"net\.py:1: imports blocks\.layers, which is no file beside it and not among"),
        ("import layers.cnn", r"net\.py:1: imports layers\.cnn, and .*layers/cnn\.py is not there"),
        ("import distutils", r"net\.py:1: imports distutils"),
        ("def (", r"net\.py:1: invalid syntax"),
    ],
)
def test_add_code_that_a_kernel_cannot_carry_is_refused_at_once(trained: Trained, line: str, words: str) -> None:
    """Not an hour later, at the build."""
    (trained.folder / "layers.py").write_text("")
    trained.code.write_text(f"{line}\n{CODE}")

    with pytest.raises(BundleError, match=words):
        trained.add()
    assert list(trained.weights.iterdir()) == []


def test_package_that_a_person_names_is_allowed_and_looked_up_at_the_start(trained: Trained) -> None:
    """The name goes into the recipe."""
    trained.code.write_text(CODE.replace("import torch\n", "import torch\nimport tomli_w\n", 1))

    recipe = trained.add({"packages": ["tomli_w"]})

    assert lacking([recipe], lambda name: name != "tomli_w")[0].startswith("recipe mine needs tomli_w")


@pytest.mark.parametrize(
    ("network", "model", "words", "kind"),
    [
        ("net.py", {}, "no colon", SettingsError),
        ("away.py:Net", {}, "no file .*away.py", SettingsError),
        ("no_such_module:Net", {}, "no such module, nor a file no_such_module.py", SettingsError),
        ("pytest:main", {}, "pytest is installed here, but is not among the packages of Kaggle's image", BundleError),
        ("net.py:Other", {}, "net.py has no Other", SettingsError),
        ("net.py:Net", {"widht": 3}, "does not take widht; it takes num_classes, width, answer", SettingsError),
        ("net.py:Net", {"axes": ["frames", "batch"]}, "Begin with batch", SettingsError),
    ],
)
def test_network_that_is_not_there_or_takes_other_arguments_is_refused(
    trained: Trained,
    monkeypatch: pytest.MonkeyPatch,
    network: str,
    model: dict[str, Any],
    words: str,
    kind: type[KitError],
) -> None:
    """Before a checkpoint is read."""
    monkeypatch.chdir(trained.folder)

    with pytest.raises(kind, match=words):
        network_source(network, model, len(LABELS))


def test_network_whose_answer_depends_on_its_batch_is_refused(trained: Trained) -> None:
    """A clip's answer must not depend on which others are heard beside it."""
    mixed = CODE.replace("mean(dim=(2, 3)))", "mean(dim=(2, 3))) - x.mean()")
    trained.code.write_text(mixed)

    with pytest.raises(WeightsError, match="a window alone is answered otherwise than beside another"):
        trained.add()


# ------------------------------------------------------------ the command


def command(trained: Trained, *more: str) -> list[str]:
    """soundpost import add for the person's folder."""
    settings = trained.folder / "mine.toml"
    settings.write_text(
        "[audio]\nsample_rate = 16000\n[front_end]\nname = 'log_mel'\nsample_rate = 16000\nn_fft = 512\n"
        "hop_length = 256\nn_mels = 16\n"
    )
    (trained.folder / "labels.txt").write_text("\n".join(LABELS))
    places = ["--settings", str(settings), "--labels", str(trained.folder / "labels.txt")]
    places += ["--checkpoint", str(trained.checkpoint), "--weights", str(trained.weights)]
    return ["add", *places, "--network", f"{trained.code}:Net", "--recipe", "mine", *more]


def test_add_shows_every_setting_with_its_default(trained: Trained, capsys: pytest.CaptureFixture[str]) -> None:
    """The hidden ones are those that a person must see."""
    assert main(command(trained)) == 0

    printed = capsys.readouterr().out
    for hidden in ("top_db", "pad_mode", "mel scale", "max_frames", "trim_db"):
        assert hidden in printed
    assert "80.0         (default)" in printed


def test_add_needs_nothing_of_the_developers_packages(trained: Trained) -> None:
    """All of requirements-dev.txt that requirements.txt lacks is hidden, and the recipe is written all the same."""
    names = {
        kind: {line.partition("==")[0].strip() for line in (ROOT / kind).read_text().splitlines() if "==" in line}
        for kind in ("requirements.txt", "requirements-dev.txt")
    }
    hidden = {name.replace("-", "_") for name in names["requirements-dev.txt"] - names["requirements.txt"]}
    script = (
        "import sys\n"
        f"for name in {sorted(hidden)!r}: sys.modules[name] = None\n"
        "from soundpost.importers.__main__ import main\n"
        f"sys.exit(main({command(trained)!r}))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert (trained.weights / "mine" / "recipe.toml").is_file()


def test_add_takes_prefixes_and_extra_arrays_off_by_pattern(trained: Trained) -> None:
    """--strip, --drop and --rename of the command line: the recipe holds the network's arrays and no other."""
    state = torch.load(trained.checkpoint, weights_only=False)["model"]
    named = {f"net_3.{name.replace('head.', 'fc.')}": array for name, array in state.items()}
    torch.save({**named, "net_3.mel.filters": torch.ones(3), "ema.body.bias": torch.ones(4)}, trained.checkpoint)
    patterns = ["--drop", "ema.*", "--drop", "*.mel.*", "--strip", "net_*.", "--rename", "fc.=head."]

    assert main(command(trained, *patterns)) == 0

    assets = find_assets(trained.weights)
    (recipe,) = assets.submission.recipes
    arrays = assets.arrays(recipe.members[0])
    assert {name.removeprefix("network."): array.tolist() for name, array in arrays.items()} == {
        name: array.tolist() for name, array in state.items()
    }


def test_add_score_outside_a_probability_is_refused(trained: Trained, capsys: pytest.CaptureFixture[str]) -> None:
    """On either side, before anything is read."""
    for score in ("-0.1", "81"):
        assert main(command(trained, "--score", score)) == 2
        assert f"--score {float(score):g} is no lwlrap, which lies within [0, 1]" in capsys.readouterr().err


def test_add_labels_that_are_no_utf8_are_refused(trained: Trained, capsys: pytest.CaptureFixture[str]) -> None:
    """One line, by the file."""
    words = command(trained)
    (trained.folder / "labels.txt").write_bytes("Ger\xe4usch\nRain\nSiren\n".encode("latin-1"))

    assert main(words) == 2
    assert "labels.txt: 'utf-8' codec can't decode byte" in capsys.readouterr().err


@pytest.mark.parametrize(("scale", "status"), [(1.0, 0), (2.0, 3)])
def test_add_with_a_reference_compares_at_once(
    trained: Trained, capsys: pytest.CaptureFixture[str], scale: float, status: int
) -> None:
    """--reference and --clips: the person's own answers, or others."""
    clips = trained.folder / "clips"
    clips.mkdir()
    soundfile.write(clips / "a.wav", np.random.default_rng(0).uniform(-0.5, 0.5, 16000), 16000)
    trained.add()
    name_in_submission(trained.weights, "mine", alone=True)
    probabilities = soundpost.load(trained.weights, device="cpu").predict([clips / "a.wav"]).to_numpy()
    logits = scale * np.log(probabilities / (1 - probabilities))
    np.savez(trained.folder / "mine.npz", clips=["a.wav"], logits=logits)
    asked = ["--reference", str(trained.folder / "mine.npz"), "--clips", str(clips), "--replace"]

    assert main(command(trained, *asked)) == status

    printed = capsys.readouterr().out
    assert "3 labels" in printed
    assert printed.rstrip().endswith("mine.npz does") == (status == 0)
