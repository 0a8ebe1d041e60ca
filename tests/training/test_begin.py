"""What a network begins with: files of weights under several names, over other input channels, never run."""

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from trained import make_folder, words

from soundpost.errors import SettingsError
from soundpost.models import MODELS
from soundpost.models.resnet import TORCHVISION
from soundpost.registry import build
from soundpost.training.__main__ import main
from soundpost.training.begin import begin_with, start_file

SMALL = {"name": "resnet", "layers": [1, 1, 1, 1], "stem": 4, "hidden": 8}


def network(classes: int, seed: int) -> nn.Module:
    """A small residual network."""
    torch.manual_seed(seed)
    made: nn.Module = build(MODELS, "resnet", SMALL, "model", classes)
    return made


def as_torchvision(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A body's arrays as torchvision names them, with its one linear layer for a thousand classes."""
    back = {new: old for old, new in TORCHVISION.items() if old != "fc."}
    named = {}
    for key, value in state.items():
        for new, old in back.items():
            if key.startswith(new):
                named[old + key.removeprefix(new)] = value
    return {**named, "fc.weight": torch.zeros(1000, 32), "fc.bias": torch.zeros(1000)}


@pytest.mark.parametrize("how", ["safetensors", "pth", "nested"])
def test_imagenet_body_is_taken_by_name(how: str, tmp_path: Path) -> None:
    """Torchvision's names become ours; the head, of other classes, stays fresh."""
    given, own = network(10, 0), network(3, 1)
    arrays = as_torchvision(given.state_dict())
    file = tmp_path / ("body.safetensors" if how == "safetensors" else "body.pth")
    if how == "safetensors":
        save_file(arrays, file)
    else:
        torch.save({"state_dict": arrays, "epoch": 3} if how == "nested" else arrays, file)
    head = own.state_dict()["1.8.weight"].clone()
    begun = begin_with(own, file)
    body = [key for key in own.state_dict() if key.startswith("0.")]
    assert begun.taken == len(body)
    assert str(begun).startswith(f"{len(body)} of {len(own.state_dict())} arrays")
    for key in body:
        torch.testing.assert_close(own.state_dict()[key], given.state_dict()[key])
    torch.testing.assert_close(own.state_dict()["1.8.weight"], head)


def test_colour_convolution_sees_a_grey_picture_as_three_equal_planes(tmp_path: Path) -> None:
    """Three input channels become one by their sum, and one becomes three of a third each: the outputs are the same."""
    colour, grey = nn.Sequential(nn.Conv2d(3, 5, 3)), nn.Sequential(nn.Conv2d(1, 5, 3))
    save_file(colour.state_dict(), tmp_path / "colour.safetensors")
    begun = begin_with(grey, tmp_path / "colour.safetensors")
    assert begun.channels == ("0.weight",)
    picture = torch.rand(2, 1, 8, 8)
    torch.testing.assert_close(grey(picture), colour(picture.expand(-1, 3, -1, -1)))
    save_file(grey.state_dict(), tmp_path / "grey.safetensors")
    again = nn.Sequential(nn.Conv2d(3, 5, 3))
    begin_with(again, tmp_path / "grey.safetensors")
    torch.testing.assert_close(again(picture.expand(-1, 3, -1, -1)), grey(picture))
    six = nn.Sequential(nn.Conv2d(6, 5, 3))
    begin_with(six, tmp_path / "grey.safetensors")
    torch.testing.assert_close(six(picture.expand(-1, 6, -1, -1)), grey(picture))


def test_deep_convolution_of_other_channels_is_left_alone(tmp_path: Path) -> None:
    """Sixty-four channels are no picture's."""
    save_file({"0.weight": torch.zeros(5, 64, 3, 3), "0.bias": torch.ones(5)}, tmp_path / "deep.safetensors")
    own = nn.Sequential(nn.Conv2d(32, 5, 3))
    assert begin_with(own, tmp_path / "deep.safetensors").taken == 1
    assert own[0].weight.abs().sum() > 0


class Runs:
    """What a file of weights must not do."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, ("touched",)


def _no_file(folder: Path) -> Path:
    return folder / "nobody.pth"


def _code(folder: Path) -> Path:
    torch.save({"weight": Runs()}, folder / "code.pth")
    return folder / "code.pth"


def _cut(folder: Path) -> Path:
    save_file({"weight": torch.zeros(3)}, folder / "whole.safetensors")
    (folder / "cut.safetensors").write_bytes((folder / "whole.safetensors").read_bytes()[:20])
    return folder / "cut.safetensors"


def _other(folder: Path) -> Path:
    save_file({"nothing.like.it": torch.zeros(3)}, folder / "other.safetensors")
    return folder / "other.safetensors"


def _empty(folder: Path) -> Path:
    torch.save({"epoch": 3}, folder / "empty.pth")
    return folder / "empty.pth"


REFUSED = [
    (_no_file, "no nobody.pth there. Name another."),
    (_code, "Give a .safetensors, or a .pth of tensors and plain values alone."),
    (_cut, "Give a .safetensors, or a .pth of tensors"),
    (_other, "no array of it fits the network"),
    (_empty, "no tensor in it. Give a state dict."),
]


@pytest.mark.parametrize(("make", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_file_that_cannot_be_begun_with_is_refused(make: object, message: str, tmp_path: Path) -> None:
    """In one sentence, and nothing of it is run."""
    path = make(tmp_path)  # type: ignore[operator]
    with pytest.raises(SettingsError, match=re.escape(message)):
        begin_with(network(3, 0), start_file(path, "1"))
    assert not Path("touched").exists()


def test_training_begins_with_a_file_and_is_another_one_with_another_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Said in a line for every member; the file's bytes belong to the training's digest."""
    folder = make_folder(tmp_path)
    assert main(words(folder, "waveforms", "first", "--epochs", "1")) == 0
    file = folder / "weights.safetensors"
    file.write_bytes((folder / "first" / "fold1.safetensors").read_bytes())
    capsys.readouterr()
    assert main(words(folder, "waveforms", "second", "--epochs", "1", "--start", str(file))) == 0
    found = re.search(r"weights\.safetensors: (\d+) of (\d+) arrays for fold 2", capsys.readouterr().out)
    assert found is not None
    assert found[1] == found[2]
    file.write_bytes((folder / "first" / "fold2.safetensors").read_bytes())
    assert main(words(folder, "waveforms", "second", "--epochs", "1", "--start", str(file))) == 2
    assert "is of another training" in capsys.readouterr().err
