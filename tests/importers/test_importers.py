"""Importers: published checkpoints become recipes that build the same network; nothing in them is executed."""

import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from soundpost.ensemble.blend import Blend
from soundpost.ensemble.recipes import Recipe, parse_recipe, parse_submission
from soundpost.ensemble.weights_file import load_arrays
from soundpost.errors import SettingsError, WeightsError
from soundpost.importers.__main__ import main, read_labels
from soundpost.importers.argus import import_argus
from soundpost.importers.ex4sperans import import_ex4sperans
from soundpost.importers.qrfaction import import_qrfaction, keras_layers
from soundpost.importers.recipe_files import TEMPLATES, template
from soundpost.models import MODELS
from soundpost.models.argus import ArgusSettings, AuxSkipAttention
from soundpost.models.ex4sperans import Ex4sperans1d, Ex4sperans2d, Ex4speransSettings
from soundpost.models.ex4sperans_backbone import BackboneSettings, Ex4speransBackbone
from soundpost.models.qrfaction import Qrfaction, QrfactionSettings
from soundpost.registry import pick, settings_from

LABELS = ("Bark", "Meow", "Purr")


def rebuilt(recipe: Recipe, folder: Path) -> nn.Module:
    """The network of the first member, from what was written alone."""
    text = (folder / "recipe.toml").read_text(encoding="utf-8")
    assert parse_recipe(text, "recipe.toml") == recipe
    member = recipe.members[0]
    arrays = load_arrays(folder / member.file, member.sha256, member.name)
    model_class = pick(MODELS, recipe.model.name, "model")
    model = model_class(settings_from(model_class.Settings, recipe.model.settings, recipe.name), len(recipe.labels))
    model.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    return model.eval()


def assert_same(expected: nn.Module, found: nn.Module) -> None:
    state = found.state_dict()
    for key, tensor in expected.state_dict().items():
        torch.testing.assert_close(state[key], tensor, msg=key)


def argus_checkpoint(model: nn.Module, name: str = "AuxSkipAttention", **parameters: object) -> dict[str, object]:
    return {
        "model_name": "FreesoundModel",
        "params": {"nn_module": (name, {"num_classes": len(LABELS), **parameters}), "device": "cuda"},
        "nn_state_dict": model.state_dict(),
    }


def argus_network() -> AuxSkipAttention:
    return AuxSkipAttention(ArgusSettings(base_size=4, ratio=8), len(LABELS)).eval()


def test_argus_experiment_takes_the_best_checkpoint_of_each_fold(tmp_path: Path) -> None:
    """Among several files the one with the largest score is taken, and folds are listed best first."""
    models = [argus_network(), argus_network()]
    for fold, (model, score) in enumerate(zip(models, ("0.811000", "0.872500"), strict=True)):
        folder = tmp_path / "run" / f"fold_{fold}"
        folder.mkdir(parents=True)
        torch.save(argus_checkpoint(model, base_size=4, ratio=8), folder / f"model-072-{score}.pth")
        torch.save(argus_checkpoint(argus_network(), base_size=4, ratio=8), folder / "model-099-0.700000.pth")
    recipe = import_argus(tmp_path / "run", tmp_path / "out", "run", LABELS)
    assert [(m.fold, m.scores["lwlrap"]) for m in recipe.members] == [("1", 0.8725), ("0", 0.811)]
    assert_same(models[1], rebuilt(recipe, tmp_path / "out"))


def test_argus_half_precision_in_the_old_container_becomes_float32(tmp_path: Path) -> None:
    """Mixed-precision files of 2019 load, and no float16 is left."""
    model = argus_network()
    checkpoint = argus_checkpoint(model, base_size=4, ratio=8)
    checkpoint["nn_state_dict"] = {k: v.half() if v.is_floating_point() else v for k, v in model.state_dict().items()}
    torch.save(checkpoint, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    recipe = import_argus(tmp_path / "old.pth", tmp_path / "out", "old", LABELS)
    found = rebuilt(recipe, tmp_path / "out").state_dict()
    assert {t.dtype for t in found.values()} == {torch.float32, torch.int64}
    torch.testing.assert_close(found["merge.conv.weight"], model.merge.conv.weight.detach().half().float())


class Bomb:
    """Writes a file when it is unpickled with code allowed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.path,))


def test_checkpoint_that_brings_code_is_refused_and_not_executed(tmp_path: Path) -> None:
    """A file that wants more than tensors and plain values is named, and what it wanted did not happen."""
    torch.save({"nn_state_dict": Bomb(tmp_path / "executed")}, tmp_path / "bomb.pth")
    with pytest.raises(WeightsError, match=r"bomb\.pth"):
        import_argus(tmp_path / "bomb.pth", tmp_path / "out", "bomb", LABELS)
    assert not (tmp_path / "executed").exists()


def test_argus_checkpoint_of_other_content_is_refused(tmp_path: Path) -> None:
    """Damage, another layout, another network, another number of classes: each is said."""
    path = tmp_path / "model.pth"
    path.write_bytes(b"no checkpoint")
    with pytest.raises(WeightsError, match=r"model\.pth"):
        import_argus(path, tmp_path / "out", "x", LABELS)
    torch.save({"state": {}}, path)
    with pytest.raises(WeightsError, match=r"no params\.nn_module"):
        import_argus(path, tmp_path / "out", "x", LABELS)
    torch.save(argus_checkpoint(argus_network(), "ResNet", base_size=4), path)
    with pytest.raises(WeightsError, match="network ResNet; known"):
        import_argus(path, tmp_path / "out", "x", LABELS)
    torch.save(argus_checkpoint(argus_network(), base_size=4, ratio=8), path)
    with pytest.raises(WeightsError, match="another number of classes"):
        import_argus(path, tmp_path / "out", "x", ("Bark",))
    torch.save(argus_checkpoint(argus_network(), base_size=8), path)
    with pytest.raises(WeightsError, match="x/0"):
        import_argus(path, tmp_path / "out", "x", LABELS)
    with pytest.raises(WeightsError, match="no fold_<number>"):
        import_argus(tmp_path, tmp_path / "out", "x", LABELS)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "model",
    [
        Ex4sperans2d(Ex4speransSettings(blocks=3, base=6, growth=1.5, start=1), 3),
        Ex4sperans2d(Ex4speransSettings(blocks=6, base=4, growth=1.5, start=2, aggregation="rnn"), 3),
        Ex4sperans1d(Ex4speransSettings(blocks=2, base=4, start=1, bins=129), 3),
        Ex4sperans1d(Ex4speransSettings(blocks=3, base=4, start=0, bins=128, aggregation="rnn"), 3),
        Ex4speransBackbone(BackboneSettings("resnet18"), 3),
    ],
)
def test_ex4sperans_sizes_are_read_off_the_arrays(model: nn.Module, tmp_path: Path) -> None:
    """A state dict says which of the networks it belongs to; the unused layer of the backbone is left out."""
    state = {**model.state_dict(), "backbone.last_linear.weight": torch.zeros(2, 2)}
    for fold in range(2):
        folder = tmp_path / "run" / "checkpoints" / f"fold_{fold}"
        folder.mkdir(parents=True)
        torch.save(state, folder / "best_model.pth", _use_new_zipfile_serialization=False)
    recipe = import_ex4sperans(tmp_path / "run", tmp_path / "out", "run", LABELS)
    found = rebuilt(recipe, tmp_path / "out")
    assert type(found) is type(model)
    assert len(recipe.members) == 2
    assert_same(model, found)


def test_ex4sperans_six_blocks_ask_for_the_published_shortest_clip(tmp_path: Path) -> None:
    """One frame must be left behind six blocks: 64512 samples."""
    model = Ex4sperans2d(Ex4speransSettings(blocks=6, base=4, growth=1.5, start=2), 3)
    torch.save(model.state_dict(), tmp_path / "model.pth")
    recipe = import_ex4sperans(tmp_path / "model.pth", tmp_path / "out", "six", LABELS)
    assert recipe.audio["length_samples"] == 64512


def test_ex4sperans_state_dict_of_another_network_is_refused(tmp_path: Path) -> None:
    """A list, another network, an empty folder."""
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(WeightsError, match="holds a list"):
        import_ex4sperans(tmp_path / "list.pth", tmp_path / "out", "x", LABELS)
    torch.save(argus_network().state_dict(), tmp_path / "argus.pth")
    with pytest.raises(WeightsError, match=r"no array 'conv_modules\.0\.1\.weight'"):
        import_ex4sperans(tmp_path / "argus.pth", tmp_path / "out", "x", LABELS)
    with pytest.raises(WeightsError, match="no checkpoints/fold_<number>"):
        import_ex4sperans(tmp_path, tmp_path / "out", "x", LABELS)


def to_keras(model: Qrfaction, settings: QrfactionSettings) -> dict[str, np.ndarray]:
    """The arrays as Keras would name and lay them out: the importer's rule the other way round."""
    state = {key: value.numpy() for key, value in model.state_dict().items()}
    arrays: dict[str, np.ndarray] = {}

    def columns(rows: np.ndarray) -> np.ndarray:
        reset, update, new = np.split(rows, 3)
        return np.concatenate([update, reset, new]).T

    for name, layer in keras_layers(settings):
        if layer.startswith("conv2d"):
            arrays[f"{layer}/kernel:0"] = state[f"{name}.weight"].transpose(2, 3, 1, 0)
        elif layer.startswith("dense"):
            arrays[f"{layer}/kernel:0"] = state[f"{name}.weight"].T
        elif layer.startswith("batch"):
            for theirs, ours in (("gamma", "weight"), ("beta", "bias")):
                arrays[f"{layer}/{theirs}:0"] = state[f"{name}.{ours}"]
            for theirs, ours in (("moving_mean", "running_mean"), ("moving_variance", "running_var")):
                arrays[f"{layer}/{theirs}:0"] = state[f"{name}.{ours}"]
        else:
            for direction, suffix in (("forward", ""), ("backward", "_reverse")):
                middle = f"{layer}/{direction}_cu_dnngru_1"
                arrays[f"{middle}/kernel:0"] = columns(state[f"{name}.weight_ih_l0{suffix}"])
                arrays[f"{middle}/recurrent_kernel:0"] = columns(state[f"{name}.weight_hh_l0{suffix}"])
                both = [columns(state[f"{name}.bias_{part}_l0{suffix}"]) for part in ("ih", "hh")]
                arrays[f"{middle}/bias:0"] = np.concatenate(both)
        if layer.startswith(("conv2d", "dense")) and f"{name}.bias" in state:
            arrays[f"{layer}/bias:0"] = state[f"{name}.bias"]
    return arrays


@pytest.mark.parametrize("network", ["conv", "se", "msc", "concat", "se_cat"])
def test_qrfaction_arrays_of_keras_become_the_same_network(network: str, tmp_path: Path) -> None:
    """Kernels are turned, gates reordered, layers found by order of creation, and the network is recognised."""
    settings = QrfactionSettings(network, "avemax3", 0.25, 8)
    model = Qrfaction(settings, len(LABELS))
    np.savez(tmp_path / "fold.npz", **to_keras(model, settings))
    recipe = import_qrfaction(tmp_path / "fold.npz", tmp_path / "out", "max3exam", LABELS)
    assert dict(recipe.model.settings) == {
        "network": network,
        "pool": "avemax3",
        "width_ratio": settings.width_ratio,
        "rnn_unit": 8,
    }
    assert_same(model, rebuilt(recipe, tmp_path / "out"))


def test_qrfaction_files_of_something_else_are_refused(tmp_path: Path) -> None:
    """No arrays, other arrays, no files."""
    (tmp_path / "broken.npz").write_bytes(b"no archive")
    with pytest.raises(WeightsError, match="Keras arrays"):
        import_qrfaction(tmp_path / "broken.npz", tmp_path / "out", "x", LABELS)
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(WeightsError, match="no array"):
        import_qrfaction(tmp_path / "other.npz", tmp_path / "out", "x", LABELS)
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsError, match=r"no \.npz"):
        import_qrfaction(tmp_path / "empty", tmp_path / "out", "x", LABELS)


def test_command_line_imports_with_labels_of_a_sample_submission(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The recipe takes the folder's name and the columns behind the first one."""
    torch.save(argus_checkpoint(argus_network(), base_size=4, ratio=8), tmp_path / "model.pth")
    sample = tmp_path / "sample_submission.csv"
    sample.write_text("fname," + ",".join(LABELS) + "\n1.wav,0,0,0\n")
    given = ["argus", str(tmp_path / "model.pth"), "--out", str(tmp_path / "mine"), "--labels", str(sample)]
    assert main(given) == 0
    assert "recipe mine, argus_aux_skip_attention, 1 folds" in capsys.readouterr().out
    assert main([*given[:1], str(tmp_path / "absent.pth"), *given[2:]]) == 2
    assert "absent.pth" in capsys.readouterr().err


def test_labels_that_are_not_there_are_refused(tmp_path: Path) -> None:
    """A missing list, an empty one, and the sample of a ranked submission are said to be that."""
    with pytest.raises(SettingsError, match="Give a sample_submission"):
        read_labels(tmp_path / "absent.txt")
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(SettingsError, match="no label in it"):
        read_labels(tmp_path / "empty.txt")
    (tmp_path / "ranked.csv").write_text("fname,label\na.wav,Laughter Hi-Hat Flute\n")
    with pytest.raises(SettingsError, match="no label in it"):
        read_labels(tmp_path / "ranked.csv")
    assert len(read_labels(TEMPLATES / "fsdkaggle2019.txt")) == 80


@pytest.mark.parametrize("path", sorted(TEMPLATES.glob("*.toml")), ids=lambda path: path.stem)
def test_template_with_a_name_and_labels_is_a_recipe(path: Path) -> None:
    """Every template names a model, views and settings that exist."""
    table = template(path.stem)
    model = dict(table["model"])
    model_class = pick(MODELS, model.pop("name"), "model")
    settings_from(model_class.Settings, model, path.stem)


def test_template_that_is_not_there_lists_those_that_are() -> None:
    """An unknown name is answered with the known ones."""
    with pytest.raises(SettingsError, match="template 'first' is not known; known: argus, "):
        template("first")


@pytest.mark.parametrize("path", sorted((TEMPLATES / "submissions").glob("*.toml")), ids=lambda path: path.stem)
def test_submission_template_is_a_blend_of_its_recipes(path: Path) -> None:
    """Stages read only recipes and earlier stages; a second level has as many inputs as its network."""
    table = tomllib.loads(path.read_text())
    names = [*table["recipes"], *table.get("second_level", [])]
    recipe = """
format = 1
name = "{}"
labels = ["Bark"]
front_end = {{ name = "log_mel" }}
model = {{ name = "compact" }}
members = [{{ fold = "0", file = "f", sha256 = "0" }}]
"""
    submission = parse_submission(path.read_text(), {name: recipe.format(name) for name in names}, path.name)
    members = [member.name for r in submission.recipes for member in r.members]
    networks = {r.name: [lambda rows: rows.mean(1)] for r in submission.second_level}
    probabilities = np.random.default_rng(2).uniform(size=(len(members), 4, 1)).astype(np.float32)
    answer = Blend(submission.blend, members, networks)(probabilities, np.ones((len(members), 4), bool))
    assert np.isfinite(answer).all()
