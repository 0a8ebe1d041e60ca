"""Training: repeatable, resumable, deaf to the fold that is held out, and its recipe can be read."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from conftest import waveform
from safetensors.torch import load_file

from soundpost.ensemble.recipes import Recipe, parse_recipe
from soundpost.ensemble.weights_file import sha256_of
from soundpost.errors import SettingsError
from soundpost.evaluation import evaluate
from soundpost.evaluation.dataset import read_labels, read_table
from soundpost.front_ends.log_mel import LogMel, LogMelSettings
from soundpost.training.__main__ import main
from soundpost.training.bank import Bank, at_speed, build_bank, trim
from soundpost.training.compose import Composer, ComposeSettings
from soundpost.training.weight_average import WeightAverage, learning_rate

RATE = 8000  # Hz
LABELS = ("high", "low", "noise")
PLAN = """
average_decay = 0.998
[audio]
sample_rate = 8000
[front_end]
name = "log_mel"
sample_rate = 8000
n_fft = 256
hop_length = 160
n_mels = 16
[model]
name = "compact"
bins = 16
widths = [4, 6]
strides = [2, 2]
[input]
name = "composed"
shortest = 0.3
longest = 0.5
speeds = [1.0, 1.2]
[optimiser]
name = "adamw"
rate = 3e-3
decay = 0.05
decays = "weights"
[[stages]]
epochs = 2
batch = 4
schedule = { name = "warm_cosine" }
[[views]]
name = "whole"
[[views]]
name = "band_shifts"
[aliases]
low = "Low_tone"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eight short clips in two folds, one of them with two labels, a csv and a plan."""
    random = np.random.default_rng(0)
    rows = []
    for number in range(8):
        seconds = np.arange(int(RATE * (0.4 + 0.05 * number))) / RATE
        labels = [LABELS[number % 3]] if number else ["low", "noise"]
        tone = np.sin(2 * np.pi * (300 if "low" in labels else 2500) * seconds)
        sound = 0.3 * tone * ("noise" not in labels) + 0.1 * random.standard_normal(len(seconds))
        soundfile.write(tmp_path / f"{number}.wav", sound, RATE, subtype="PCM_16")
        rows.append([f"{number}.wav", ",".join(labels), number % 2 + 1])
    _write(tmp_path / "clips.csv", [["fname", "labels", "fold"], *rows])
    _write(tmp_path / "no_folds.csv", [["fname", "labels"], *(row[:2] for row in rows)])
    (tmp_path / "plan.toml").write_text(PLAN)
    return tmp_path


def _write(path: Path, rows: list[list[object]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def _rows(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def _train(folder: Path, out: str, *more: str, table: str = "clips.csv") -> Path:
    assert _command(folder, out, *more, table=table) == 0
    return folder / out


def _command(folder: Path, out: str, *more: str, table: str = "clips.csv") -> int:
    where = ["--curated", f"{folder / table}:{folder}", "--out", str(folder / out), "--device", "cpu"]
    return main([str(folder / "plan.toml"), *where, *more])


def _weights(out: Path, fold: str) -> dict[str, torch.Tensor]:
    return load_file(out / f"fold{fold}.safetensors")


def _same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def _recipe(out: Path) -> Recipe:
    return parse_recipe((out / "recipe.toml").read_text(), "recipe.toml")


def test_fit_writes_a_recipe_that_describes_its_files(folder: Path) -> None:
    """Labels, hashes, scores and aliases are those of the training; members come best first."""
    out = _train(folder, "out")

    recipe = _recipe(out)
    assert recipe.labels == LABELS
    assert dict(recipe.aliases) == {"low": "Low_tone"}
    assert recipe.priors == pytest.approx((2 / 8, 4 / 8, 3 / 8))
    assert sorted(member.fold for member in recipe.members) == ["1", "2"]
    assert [member.sha256 for member in recipe.members] == [sha256_of(out / member.file) for member in recipe.members]
    assert [len(scores) for scores in recipe.gains.values()] == [len(recipe.views)]
    scores = [member.scores["lwlrap"] for member in recipe.members]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= member.scores["accuracy"] <= 1 for member in recipe.members)


def test_fit_out_of_fold_predictions_have_a_row_per_clip(folder: Path) -> None:
    """Every clip once, in the order of the csv, with one probability per label."""
    rows = _rows(_train(folder, "out") / "out_of_fold.csv")

    assert rows[0] == ["fname", "fold", *LABELS]
    assert [row[0] for row in rows[1:]] == [f"{number}.wav" for number in range(8)]
    assert all(0 <= float(value) <= 1 for row in rows[1:] for value in row[2:])


def test_fit_same_seed_gives_the_same_weights_and_another_seed_others(folder: Path) -> None:
    """Everything random follows from the seed."""
    first, again, other = (_train(folder, out, "--seed", seed) for out, seed in (("a", "3"), ("b", "3"), ("c", "4")))

    assert _same(_weights(first, "1"), _weights(again, "1"))
    assert not _same(_weights(first, "1"), _weights(other, "1"))
    assert (first / "out_of_fold.csv").read_bytes() == (again / "out_of_fold.csv").read_bytes()


def test_fit_finished_training_run_again_changes_nothing(folder: Path) -> None:
    """A finished member is taken from its checkpoint."""
    before = {path.name: path.read_bytes() for path in _train(folder, "out").iterdir() if path.is_file()}

    _train(folder, "out")

    after = {path.name: path.read_bytes() for path in (folder / "out").iterdir() if path.is_file()}
    assert after == before
    assert "fold1.safetensors" in before


def test_fit_folds_trained_apart_equal_folds_trained_together(folder: Path) -> None:
    """--folds trains some members now and the rest later, to the same recipe."""
    together = _train(folder, "together")
    _train(folder, "apart", "--folds", "2")
    assert not (folder / "apart" / "recipe.toml").exists()

    apart = _train(folder, "apart")

    said, wanted = (_text(out).replace(out.name, "") for out in (apart, together))
    assert said == wanted


def _text(out: Path) -> str:
    return (out / "recipe.toml").read_text("utf-8")


def test_fit_start_goes_on_from_the_members_of_another_training(folder: Path) -> None:
    """With next to no learning rate, each member stays what it was; a training of its own differs."""
    first = _train(folder, "first")
    (folder / "plan.toml").write_text(PLAN.replace("rate = 3e-3", "rate = 1e-12"))

    further = _train(folder, "further", "--start", str(first))
    alone = _train(folder, "alone")

    for fold in "12":
        torch.testing.assert_close(_weights(further, fold)["stem.weight"], _weights(first, fold)["stem.weight"])
        assert not torch.allclose(_weights(alone, fold)["stem.weight"], _weights(first, fold)["stem.weight"])


def test_fit_member_never_hears_its_fold(folder: Path) -> None:
    """Other recordings in fold 1 leave member 1 as it was, and change member 2."""
    before = _train(folder, "before")
    for number in (0, 2, 4, 6):
        soundfile.write(folder / f"{number}.wav", np.random.default_rng(9).uniform(-1, 1, RATE // 2), RATE)

    after = _train(folder, "after")

    assert _same(_weights(before, "1"), _weights(after, "1"))
    assert not _same(_weights(before, "2"), _weights(after, "2"))


def test_fit_table_without_folds_is_dealt_evenly(folder: Path) -> None:
    """FSDKaggle2019's own layout works unchanged with a rule for folds."""
    (folder / "plan.toml").write_text(PLAN + '[folds]\nname = "deal"\ncount = 2\n')
    out = _train(folder, "out", table="no_folds.csv")

    assert sorted(member.fold for member in _recipe(out).members) == ["1", "2"]
    assert sorted(read_table(folder / "no_folds.csv", 2, 0).folds) == ["1"] * 4 + ["2"] * 4


def test_fit_table_without_folds_and_without_a_rule_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message names the missing column and the way out."""
    assert _command(folder, "out", table="no_folds.csv") == 2
    assert "no column fold. Add it, or choose another rule" in capsys.readouterr().err


def test_read_labels_takes_a_label_by_either_name(folder: Path) -> None:
    """Labels of the recipe and columns of the submission mean the same class; anything else is refused."""
    _write(folder / "truth.csv", [["fname", "labels"], ["a.wav", "Low_tone,high"], ["b.wav", "low"]])

    files, truth = read_labels(folder / "truth.csv", LABELS, {"low": "Low_tone"})

    assert files == ("a.wav", "b.wav")
    assert truth.tolist() == [[1, 1, 0], [0, 1, 0]]
    with pytest.raises(SettingsError, match=r"labels Low_tone; known: high, low, noise\. Correct them"):
        read_labels(folder / "truth.csv", LABELS, {})


def test_fit_unknown_fold_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The message lists the folds that there are."""
    assert _command(folder, "out", "--folds", "7") == 2
    assert "--folds 7: folds are 1, 2. Correct --folds." in capsys.readouterr().err


def test_evaluate_member_on_its_fold_prints_the_score_of_the_recipe(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the recipe says about a member can be measured again from its files."""
    out = _train(folder, "out")
    rows = _rows(folder / "clips.csv")
    _write(folder / "fold1.csv", [rows[0], *(row for row in rows[1:] if row[2] == "1")])
    member = next(member for member in _recipe(out).members if member.fold == "1")
    capsys.readouterr()

    where = ["--weights", str(out), "--clips", str(folder), "--csv", str(folder / "fold1.csv")]
    assert evaluate.main([*where, "--members", "1", "--views", "2"]) == 0
    assert f"out/1: 4 clips, lwlrap {member.scores['lwlrap']:.4f}" in capsys.readouterr().out
    assert evaluate.main([*where, "--members", "5"]) == 2
    assert "--members 5: the recipe has" in capsys.readouterr().err


@pytest.fixture
def bank() -> Bank:
    """A bank of random mel powers."""
    random = torch.Generator().manual_seed(0)
    lengths = torch.randint(20, 41, (2, 8), generator=random)
    powers = torch.rand(int(lengths.sum()), 16, generator=random) ** 4
    begins = (lengths.flatten().cumsum(0) - lengths.flatten()).view(2, 8)
    return Bank(powers, begins, lengths, torch.eye(3)[torch.arange(8) % 3])


def source_of(bank: Bank, speed: int, source: int) -> torch.Tensor:
    """Mel powers of one source at one speed, (frames, mels)."""
    begin, length = int(bank.begins[speed, source]), int(bank.lengths[speed, source])
    return bank.powers[begin : begin + length]


def test_bank_with_one_long_clip_holds_every_frame_once() -> None:
    """Short clips are not padded to the ten minutes of one: memory grows by what there is."""
    front_end = LogMel(LogMelSettings(8000, n_fft=256, hop_length=160, n_mels=16, pad_mode="constant"))
    waveforms = [waveform(seconds, seed)[::2] for seed, seconds in enumerate((0.5, 60.0, 0.7))]

    bank = build_bank(waveforms, np.eye(3, dtype=np.float32), front_end, (1.0, 2.0), torch.device("cpu"))

    assert len(bank.powers) == int(bank.lengths.sum())
    for source, heard in enumerate(waveforms):
        for place, speed in enumerate((1.0, 2.0)):
            played = at_speed(torch.from_numpy(trim(heard)), speed)
            expected = 10 ** (front_end(played[None])[0, 0].T / 10)
            torch.testing.assert_close(source_of(bank, place, source), expected)


def test_composer_same_generator_state_gives_the_same_batch(bank: Bank) -> None:
    """Clips and targets follow from the generator; each first source's label is heard."""
    first = torch.arange(8)
    batches = [Composer(bank, ComposeSettings(), torch.Generator().manual_seed(3)).batch(first, 25) for _ in range(2)]

    (clips, targets), (clips_again, targets_again) = batches
    assert clips.shape == (8, 1, 16, 25)
    assert torch.isfinite(clips).all()
    assert torch.equal(clips, clips_again)
    assert torch.equal(targets, targets_again)
    torch.testing.assert_close(targets[first, first % 3], torch.full((8,), 1 - ComposeSettings().smoothing / 2))


def test_composer_single_source_untouched_keeps_its_colour(bank: Bank) -> None:
    """With all that changes a sound turned off, a clip is a stretch of its source, looped, at some level."""
    settings = ComposeSettings(
        layers=(1.0, 0.0, 0.0),
        gain_db=0.0,
        stretch=0.0,
        silence=0.0,
        gaps=0.0,
        tilt_db=0.0,
        ripple_db=0.0,
        background=0.0,
        mask_bands=0,
        mask_frames=0.0,
    )
    clips, targets = Composer(bank, settings, torch.Generator().manual_seed(0)).batch(torch.tensor([4]), 8)
    shifted, _ = Composer(bank, replace(settings, shift_bands=2), torch.Generator().manual_seed(1)).batch(
        torch.tensor([4]), 8
    )

    columns = {tuple(column.tolist()) for speed in (0, 1) for column in source_of(bank, speed, 4).round(decimals=4)}
    inner = {column[2:-2] for column in columns}
    assert all(tuple(column.round(decimals=4).tolist()) in columns for column in 10 ** (clips[0, 0].T / 10))
    assert targets[0].round().tolist() == [0, 1, 0]
    for column in (10 ** (shifted[0, 0].T / 10)).round(decimals=4):
        assert any(tuple(column[2 + move : 14 + move].tolist()) in inner for move in (-2, -1, 0, 1, 2))


def test_learning_rate_rises_straight_then_falls_along_a_cosine() -> None:
    """Up to the peak at the end of the warm-up, half of it midway, nearly nothing at the end."""
    rates = [learning_rate(step, 110, 10, 2.0) for step in range(110)]

    assert rates[:3] == pytest.approx([0.2, 0.4, 0.6])
    assert max(rates) == pytest.approx(2.0)
    assert rates[60] == pytest.approx(1.0, abs=0.01)
    assert rates[-1] < 0.005
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_weight_average_of_a_standing_network_is_that_network() -> None:
    """The average follows its network and leaves counters alone."""
    network = torch.nn.BatchNorm1d(2)
    average = WeightAverage(network, 0.9)
    with torch.no_grad():
        network.weight.fill_(3.0)

    for _ in range(200):
        average.update()

    torch.testing.assert_close(average.network.weight, network.weight, rtol=1e-5, atol=1e-5)
    assert not average.network.training


def test_trim_cuts_near_silence_and_sets_the_peak() -> None:
    """What is below a hundredth of the peak at the ends is no part of a sound."""
    trimmed = trim(np.array([0.0, 0.001, 0.5, 0.0, -0.25, 0.002], np.float32))

    assert trimmed.tolist() == [1.0, 0.0, -0.5]
    assert trim(np.zeros(3, np.float32)).tolist() == [0, 0, 0]


def test_at_speed_twice_as_fast_takes_every_other_sample() -> None:
    """Speed changes length and pitch together."""
    assert at_speed(torch.arange(9.0), 2.0).tolist() == [0, 2, 4, 6]
    assert at_speed(torch.arange(3.0), 0.5).tolist() == [0, 0.5, 1, 1.5, 2, 2]
