"""Brief training from a recipe alone: it learns, resumes, is deaf to its fold, and the engine reads what it writes."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file
from tiny_tables import RATE, write_tone

from soundpost.ensemble.recipes import parse_recipe
from soundpost.ensemble.weights_file import sha256_of
from soundpost.evaluation import evaluate
from soundpost.models.qrfaction_stacker import Stacker, StackerSettings
from soundpost.training import fit
from soundpost.training.recipe_fit import LearnerSettings, train_second_level
from soundpost.training.windows import Windows
from soundpost.views.tiles import Tiles, TilesSettings
from soundpost.views.whole import Whole, WholeSettings

TEMPLATE = """
average = "probability"
activation = "sigmoid"
[audio]
sample_rate = 8000
trim_db = 60.0
[front_end]
name = "log_mel"
sample_rate = 8000
n_fft = 256
hop_length = 160
n_mels = 32
[[views]]
name = "tiles"
frames = 32
step = 16
[model]
name = "argus_aux_skip_attention"
base_size = 4
ratio = 4
last_fc = 4
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Sixteen tones, low or high, in two folds, a csv and a template."""
    random = np.random.default_rng(0)
    rows: list[list[object]] = [["fname", "labels", "fold"]]
    for number in range(16):
        write_tone(tmp_path / f"{number}.wav", number, 0.5 + 0.03 * number, random, noise=0.02)
        rows.append([f"{number}.wav", "high" if number % 2 else "low", 1 + number // 8])
    with (tmp_path / "clips.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    (tmp_path / "template.toml").write_text(TEMPLATE)
    return tmp_path


def _fit(folder: Path, out: str, *more: str) -> Path:
    where = ["--clips", str(folder), "--csv", str(folder / "clips.csv"), "--out"]
    learns = ["--batch", "4", "--device", "cpu", "--epochs", "4"]
    assert fit.main([str(folder / "template.toml"), *where, str(folder / out), *learns, *more]) == 0
    return folder / out


def _same(one: Path, other: Path) -> bool:
    arrays, others = load_file(one), load_file(other)
    return all(torch.equal(arrays[name], others[name]) for name in arrays)


def test_recipe_fit_of_a_template_learns_and_writes_what_the_engine_reads(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The loss falls, members hear two kinds of tones apart, and scores are measured again from the files."""
    out = _fit(folder, "tones", "--learning-rate", "0.003", "--heads", "1,0.4,0.2,0.1")

    printed = capsys.readouterr().out
    assert printed.startswith("16 clips, 2 classes, folds 1, 2, 12 s; rarest: high 8, low 8\n")
    said = re.findall(r"loss (\S+) in the first epoch, (\S+) in the last", printed)
    assert len(said) == 2
    assert all(float(last) < float(first) for first, last in said), said
    recipe = parse_recipe((out / "recipe.toml").read_text(), "recipe.toml")
    assert (recipe.name, recipe.labels, recipe.priors) == ("tones", ("high", "low"), (0.5, 0.5))
    for member in recipe.members:
        assert member.sha256 == sha256_of(out / member.file)
        assert member.scores["lwlrap"] > 0.9
    where = ["--weights", str(out), "--clips", str(folder), "--csv", str(folder / "clips.csv")]
    assert evaluate.main([*where, "--members", "1"]) == 0
    assert "tones/1: 16 clips, lwlrap 1.0000" in capsys.readouterr().out


def test_recipe_fit_member_never_hears_its_fold(folder: Path) -> None:
    """Other recordings in fold 1 leave member 1 as it was, and change member 2."""
    before = _fit(folder, "before")
    for number in range(8):
        noise = np.random.default_rng(9).uniform(-1, 1, RATE // 2)
        soundfile.write(folder / f"{number}.wav", noise, RATE)

    after = _fit(folder, "after")

    assert _same(before / "fold1.safetensors", after / "fold1.safetensors")
    assert not _same(before / "fold2.safetensors", after / "fold2.safetensors")


def test_recipe_fit_folds_named_by_only_make_a_recipe_of_their_own(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One member is enough to run a recipe; a fold that is not there is named with those that are."""
    out = _fit(folder, "one", "--only", "2")

    recipe = parse_recipe((out / "recipe.toml").read_text(), "recipe.toml")
    assert [member.fold for member in recipe.members] == ["2"]
    template, table = str(folder / "template.toml"), str(folder / "clips.csv")
    where = ["--clips", str(folder), "--csv", table, "--out", str(out), template]
    assert fit.main([*where, "--only", "7"]) == 2
    assert "no fold 7; folds are 1, 2. Correct --only." in capsys.readouterr().err


def test_recipe_fit_start_begins_with_what_fits_of_another_recipe(folder: Path) -> None:
    """With next to no learning rate each array stays what it was there; heads of another width are made anew."""
    first = _fit(folder, "first")
    (folder / "template.toml").write_text(TEMPLATE.replace("last_fc = 4", "last_fc = 2"))

    further = _fit(folder, "further", "--start", str(first), "--learning-rate", "1e-12")

    arrays, others = load_file(first / "fold1.safetensors"), load_file(further / "fold1.safetensors")
    torch.testing.assert_close(others["conv1.conv1.0.weight"], arrays["conv1.conv1.0.weight"])
    assert others["fc.1.weight"].shape != arrays["fc.1.weight"].shape


def test_windows_of_many_lengths_come_in_batches_without_padding(tmp_path: Path) -> None:
    """Every clip once; a batch is as long as its shortest clip, or as the longest that is allowed."""
    lengths = (5, 9, 12, 30, 31, 33)
    clips = [np.full((1, 2, length), number + 1, np.float32) for number, length in enumerate(lengths)]
    windows = Windows(clips, np.eye(6, dtype=np.float32), Whole(WholeSettings()), longest=20)

    generator = torch.Generator().manual_seed(0)
    batches = [windows.shown(part, generator) for part in windows.parts(range(6), 3, generator)]

    shown = {}
    for inputs, targets in batches:
        numbers = inputs[:, 0, 0, 0].int() - 1
        assert torch.equal(targets.argmax(1), numbers.long())
        assert torch.equal(inputs, (numbers + 1)[:, None, None, None].expand(inputs.shape).float())
        shown |= {int(number): inputs.shape[-1] for number in numbers}
    assert sorted(shown) == list(range(6))
    assert all(shown[number] <= min(length, 20) for number, length in enumerate(lengths))
    assert max(shown.values()) == 20


def test_windows_cut_short_show_the_clip_and_not_what_surrounds_it() -> None:
    """A tile of a short clip is mostly padding; a stretch of it as long as the clip is the clip."""
    clip = np.arange(1, 41, dtype=np.float32).reshape(1, 1, 40)
    view = Tiles(TilesSettings(frames=256, step=128, derivatives=False, divisor=1.0))
    windows = Windows([clip, clip[..., :20]], np.eye(2, dtype=np.float32), view, longest=40)

    generator = torch.Generator().manual_seed(0)
    batch, targets = windows.shown(windows.parts(range(2), 1, generator)[0], generator)

    whole, half = batch[targets.argmax(1).argsort()]
    assert torch.equal(whole, torch.from_numpy(clip))
    assert (half.unique() == torch.arange(1.0, 21.0)).all()


def test_second_level_learns_which_input_to_trust_within_its_constraint() -> None:
    """One of two first-level answers knows the truth: it gets the larger weights, whose length stays 1."""
    random = np.random.default_rng(0)
    truth = np.eye(4, dtype=np.float32)[random.integers(4, size=64)]
    noise = random.random((64, 4), np.float32)
    inputs = np.stack([0.2 + 0.6 * truth, noise], axis=1)
    network = Stacker(StackerSettings(n_inputs=2), 4)

    settings = LearnerSettings(epochs=20, learning_rate=0.05)
    train_second_level("stacker", {"model": {"name": "qrfaction_stacker"}}, network, inputs, truth, settings)

    weight = network.local.weight.detach()
    assert (weight[:, 0] > weight[:, 1]).all()
    torch.testing.assert_close(weight.norm(dim=1), torch.ones(4))
