"""The trainer: killed anywhere it goes on byte for byte, ends in good order, stays deaf to its fold."""

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from tiny_tables import RATE
from trained import SPECTROGRAMS, make_folder, members, same_but_for_the_name, take_one_step, top_level, words

from soundpost.errors import SettingsError
from soundpost.training.__main__ import main
from soundpost.training.duration import seconds_of
from soundpost.training.ensembles.command import main as choose
from soundpost.training.inputs.chain import ChainMaterial
from soundpost.training.inputs.rows import Rows
from soundpost.training.norms import RunningStatistics
from soundpost.training.plan import plan_of
from soundpost.training.trainer import Hooks, Trainer

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Clips and plans."""
    return make_folder(tmp_path)


@pytest.mark.parametrize("plan", ["spectrograms", "waveforms"])
def test_training_paused_at_every_step_equals_uninterrupted(
    folder: Path, plan: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped after each single step, across stages, selection, plateau and best epoch: the same bytes."""
    assert main(words(folder, plan, "uninterrupted")) == 0
    assert _train_bit_by_bit(folder, plan, monkeypatch) > 12
    assert same_but_for_the_name(folder / "uninterrupted", folder / "bit_by_bit")
    assert _history(folder / "uninterrupted") == _history(folder / "bit_by_bit")


def _train_bit_by_bit(folder: Path, plan: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """Train until all is there, in calls paused at every second look at the clock; the number of looks."""
    own, looks = Trainer._look_at_the_clock, 0

    def is_time() -> bool:
        nonlocal looks
        looks += 1
        return looks % 2 == 0

    def look(trainer: Trainer, run: object, checkpoint: Path) -> None:
        trainer.hooks.is_time = is_time
        own(trainer, run, checkpoint)

    monkeypatch.setattr(Trainer, "_look_at_the_clock", look)
    for _ in range(200):
        assert main(words(folder, plan, "bit_by_bit")) == 0
        if (folder / "bit_by_bit" / "recipe.toml").is_file():
            break
    return looks


def _history(
    out: Path, columns: Sequence[str] = ("stage", "epoch", "rate", "loss", "score", "skipped")
) -> list[list[str]]:
    """What every epoch of every member was like; seconds differ."""
    rows = []
    for path in sorted(out.glob("history_*.csv")):
        with path.open(newline="") as file:
            rows += [[row[key] for key in columns] for row in csv.DictReader(file)]
    return rows


def test_loss_scaling_paused_at_every_step_equals_uninterrupted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for a GPU's scaler, so bold that it overflows: skipped steps are counted, scale and counts resumed."""

    def bold(device: torch.device, half: torch.dtype | None) -> torch.amp.GradScaler:
        return torch.amp.GradScaler(device.type, init_scale=2.0**112, growth_interval=3)

    monkeypatch.setattr("soundpost.training.trainer.loss_scaler", bold)
    plan = folder / "spectrograms.toml"
    plan.write_text(plan.read_text().replace("[loss]\n", "[loss]\nheads = [65536.0]\n"))
    assert main(words(folder, "spectrograms", "uninterrupted")) == 0
    kept = _history(folder / "uninterrupted", ("scale", "skipped"))
    assert sum(int(skipped) for _, skipped in kept) >= 2
    assert len({scale for scale, _ in kept}) > 1
    _train_bit_by_bit(folder, "spectrograms", monkeypatch)
    assert same_but_for_the_name(folder / "uninterrupted", folder / "bit_by_bit")
    assert kept == _history(folder / "bit_by_bit", ("scale", "skipped"))


def test_step_that_overflows_moves_no_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradients that are not finite are left out, and the next step is taken at a lower scale."""
    monkeypatch.setattr(
        "soundpost.training.trainer.loss_scaler",
        lambda device, half: torch.amp.GradScaler(device.type, init_scale=2.0**127, backoff_factor=2.0**-64),
    )
    plan = plan_of({"optimiser": {"name": "sgd", "rate": 1.0}, "stages": [{"epochs": 1}]}, "plan")
    rows = Rows(np.full((2, 1), 100.0, np.float32), np.ones((2, 1), np.float32), 2)
    network = torch.nn.Linear(1, 1)
    torch.nn.init.constant_(network.weight, -1.0)
    trainer = Trainer(plan, network, Hooks(lambda *given: rows, lambda *given: 1.0), 0, "")
    trainer.run(None, "overflow")
    assert network.weight.item() == -1.0
    assert trainer.history[-1]["skipped"] == 1
    assert trainer.history[-1]["scale"] == 2.0**63


def test_training_killed_and_called_again_equals_uninterrupted(folder: Path) -> None:
    """SIGKILL takes what was not yet saved and nothing else."""
    assert main(words(folder, "spectrograms", "uninterrupted")) == 0
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    child = subprocess.Popen(
        [sys.executable, "-m", "soundpost.training", *words(folder, "spectrograms", "killed", "--save-every", "0s")],
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    checkpoint = folder / "killed" / "fold1.checkpoint"
    ends = time.monotonic() + 60
    while not checkpoint.exists() and child.poll() is None and time.monotonic() < ends:
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait(timeout=60)

    assert main(words(folder, "spectrograms", "killed")) == 0
    assert same_but_for_the_name(folder / "uninterrupted", folder / "killed")


def test_training_limit_ends_in_good_order_and_says_how_to_go_on(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 0, how far it came, and the same command."""
    take_one_step(words(folder, "waveforms", "out"))
    said = capsys.readouterr().out
    assert "0 of 2 members done; paused in fold 1, stage all, epoch 1 of 3, step 1" in said
    assert f"Go on with the same command: soundpost train {folder / 'waveforms.toml'}" in said
    assert not (folder / "out" / "recipe.toml").exists()


@pytest.mark.parametrize(("every", "least"), [("0s", 6), ("9999h", 0)])
def test_checkpoints_are_written_by_the_clock_and_not_by_epochs(
    folder: Path, monkeypatch: pytest.MonkeyPatch, every: str, least: int
) -> None:
    """At every step where each is late enough, and none within a stage where a minute has not passed."""
    written: list[bool] = []
    monkeypatch.setattr(
        "soundpost.training.trainer.checkpoints.save",
        lambda path, state, digest, say: written.append(bool(state["run"])),
    )

    assert main(words(folder, "waveforms", "out", "--folds", "1", "--save-every", every)) == 0

    assert sum(written) >= least
    assert least or not any(written)


def test_training_shows_scores_on_the_way_and_ends_with_the_next_command(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The bar of an epoch that was scored says how the held-out clips do; the last line is what to type next."""
    assert main(words(folder, "spectrograms", "out")) == 0

    said = capsys.readouterr()
    with (folder / "out" / "history_1.csv").open(newline="") as file:
        scores = [f"{float(row['score']):.4f}" for row in csv.DictReader(file)]
    assert f"score={scores[-1]}" in said.err
    assert said.out.splitlines()[-1].startswith("soundpost ensemble choose ")


@pytest.mark.parametrize(("text", "seconds"), [("11h30m", 41400), ("90s", 90), ("45m", 2700)])
def test_limit_is_read_in_hours_minutes_and_seconds(text: str, seconds: float) -> None:
    """As people write it."""
    assert seconds_of(text) == seconds


def test_training_member_is_deaf_to_its_fold_through_selection_too(folder: Path) -> None:
    """Other sounds in fold 1 change nothing of member 1, neither what it selected; member 2 changes."""
    noise = np.random.default_rng(9)
    (folder / "spectrograms.toml").write_text(
        top_level(
            SPECTROGRAMS.replace('keep = "best"', 'keep = "last"')
            .replace('schedule = { name = "plateau", patience = 1 }', 'schedule = { name = "constant" }')
            .replace("slow_starts = 1", "")
        )
    )
    assert main(words(folder, "spectrograms", "before")) == 0
    for number in range(12):
        if number % 4 // 2 == 0:
            soundfile.write(folder / "curated" / f"{number}.wav", noise.uniform(-1, 1, 3000), RATE)

    assert main(words(folder, "spectrograms", "after")) == 0
    before, after = members(folder / "before"), members(folder / "after")
    assert before["fold1.safetensors"] == after["fold1.safetensors"]
    assert before["fold2.safetensors"] != after["fold2.safetensors"]


def test_training_of_other_labels_into_the_same_folder_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A finished member carries a digest of plan, csv and seed; both digests are named."""
    assert main(words(folder, "waveforms", "out")) == 0
    assert main(words(folder, "waveforms", "out", "--seed", "1")) == 2
    said = capsys.readouterr().err
    assert "fold1.safetensors is of another training: digest " in said
    assert "here (plan, csv, seed, fold). Give another --out" in said
    assert main(words(folder, "waveforms", "out", "--epochs", "2")) == 2
    assert "fold1.safetensors is of another training" in capsys.readouterr().err
    text = (folder / "curated.csv").read_text()
    for line, other in (("0.wav,low,1", "0.wav,high,1"), ("0.wav,low,1", "0.wav,low,2")):
        assert line in text
        (folder / "curated.csv").write_text(text.replace(line, other, 1))
        assert main(words(folder, "waveforms", "out")) == 2
        assert "fold1.safetensors is of another training" in capsys.readouterr().err


def test_checkpoint_of_another_plan_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A paused training does not go on with other settings."""
    take_one_step(words(folder, "waveforms", "out"))
    assert main(words(folder, "waveforms", "out", "--epochs", "5")) == 2
    assert "fold1.checkpoint is of another training" in capsys.readouterr().err


def test_finished_training_says_what_it_came_to(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Scores of folds and of all, worst and rarest classes, a picture of the histories, and a command that works."""
    assert main(words(folder, "waveforms", "birds")) == 0
    said = capsys.readouterr().out
    for heading in ("| fold | clips | lwlrap | accuracy |", "| all | 12 |", "| worst classes |", "| rarest classes |"):
        assert heading in said
    assert (folder / "birds" / "history.png").read_bytes()[1:4] == b"PNG"
    after = said.splitlines()[-1].split()
    assert after[:3] == ["soundpost", "ensemble", "choose"]
    assert choose(after[2:]) == 0
    assert (folder / "submission.toml").is_file()


def test_picture_without_matplotlib_is_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says what to install, and the training is finished all the same."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(words(folder, "waveforms", "birds")) == 0
    assert "no picture of the histories without matplotlib; pip install 'soundpost[train]'" in capsys.readouterr().out
    assert not (folder / "birds" / "history.png").exists()
    assert (folder / "birds" / "recipe.toml").is_file()


def test_recipe_is_named_after_its_folder(folder: Path) -> None:
    """Whatever the plan calls it."""
    assert main(words(folder, "waveforms", "birds")) == 0
    assert 'name = "birds"' in (folder / "birds" / "recipe.toml").read_text()


def test_interrupt_ends_in_good_order(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C is looked at after the step; what was trained stays."""
    own = ChainMaterial.batch

    def batch(material: ChainMaterial, *given: object) -> object:
        os.kill(os.getpid(), signal.SIGINT)
        monkeypatch.setattr(ChainMaterial, "batch", own)
        return own(material, *given)

    monkeypatch.setattr(ChainMaterial, "batch", batch)
    assert main(words(folder, "waveforms", "out")) == 0
    assert "paused in fold 1, stage all, epoch 1 of 3, step 1" in capsys.readouterr().out
    assert (folder / "out" / "fold1.checkpoint").is_file()


def test_running_statistics_settle_to_plain_means() -> None:
    """A brief training forgets what they begin with."""
    layer = torch.nn.BatchNorm1d(1)
    statistics = RunningStatistics(layer, "settle")
    batches = [torch.full((4, 1), value) + torch.tensor([[0.0], [1], [2], [3]]) for value in (0.0, 4.0)]
    for number, batch in enumerate(batches):
        with statistics.during(number):
            layer(batch)
    assert layer.running_mean.item() == pytest.approx(torch.cat(batches).mean().item())
    assert layer.momentum == 0.1


def test_trainer_without_a_scored_epoch_says_so() -> None:
    """Keeping the best of nothing is refused."""
    stage = {"epochs": 1, "keep": "best", "best": {"first": 5}}
    plan = plan_of({"stages": [stage]}, "plan")
    rows = Rows(np.ones((2, 1), np.float32), np.ones((2, 1), np.float32), 2)
    hooks = Hooks(lambda *given: rows, lambda *given: 1.0)
    with pytest.raises(SettingsError, match=r"no epoch scored above -inf from epoch 5 on\. Train longer"):
        Trainer(plan, torch.nn.Linear(1, 1), hooks, 0, "").run(None, "nothing")
