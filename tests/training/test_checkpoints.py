"""Checkpoints: a damaged one is named and passed over, a full disk is survived, none is ever half written."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from trained import make_folder, members, same_but_for_the_name, take_one_step, words

from soundpost.errors import SettingsError
from soundpost.training import state, trainer
from soundpost.training.__main__ import main
from soundpost.training.inputs.rows import Rows
from soundpost.training.interrupt import Paused
from soundpost.training.plan import plan_of
from soundpost.training.trainer import Hooks, Trainer

CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Clips and plans."""
    return make_folder(tmp_path)


@pytest.fixture
def paused(folder: Path) -> Path:
    """The newest checkpoint of a training that was stopped after two steps, with the one before beside it."""
    take_one_step(words(folder, "waveforms", "out"))
    assert main(words(folder, "waveforms", "out", "--limit", "0s")) == 0
    return folder / "out" / "fold1.checkpoint"


@contextmanager
def no_room(n_bytes: int) -> Iterator[None]:
    """No file can grow beyond so many bytes, as on a full disk."""
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))


@pytest.mark.parametrize("harm", ["cut", "flipped", "empty"])
def test_damaged_checkpoint_is_named_and_the_one_before_goes_on(
    folder: Path, paused: Path, harm: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Cut off, or with one bit changed that torch does not notice: one checkpoint is lost and not one byte more."""
    data = bytearray(paused.read_bytes())
    middle = len(data) // 2
    data[middle] ^= 1
    paused.write_bytes({"cut": data[:middle], "flipped": data, "empty": b""}[harm])
    capsys.readouterr()

    assert main(words(folder, "waveforms", "out")) == 0
    said = capsys.readouterr().out
    assert f"{paused} is damaged" in said
    assert "out/1 goes on from stage 1 of 1, epoch 1, step 1" in said
    assert main(words(folder, "waveforms", "uninterrupted")) == 0
    assert same_but_for_the_name(folder / "out", folder / "uninterrupted")


def test_training_with_both_checkpoints_damaged_begins_anew(
    folder: Path, paused: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both are named, nothing of them is taken over."""
    for path in (paused, state.former(paused)):
        path.write_bytes(b"nothing")

    assert main(words(folder, "waveforms", "out")) == 0
    said = capsys.readouterr().out
    assert said.count("is damaged: 7 bytes that are not those that were written") == 2
    assert "out/1 goes on from" not in said
    assert main(words(folder, "waveforms", "uninterrupted")) == 0
    assert same_but_for_the_name(folder / "out", folder / "uninterrupted")


def test_damaged_member_is_named_and_trained_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A fold file that is cut off costs its own member."""
    assert main(words(folder, "waveforms", "out")) == 0
    before = members(folder / "out")
    file = folder / "out" / "fold2.safetensors"
    file.write_bytes(file.read_bytes()[:50])

    assert main(words(folder, "waveforms", "out")) == 0
    assert f"{file} is damaged" in capsys.readouterr().out
    assert members(folder / "out") == before


def test_checkpoint_that_is_none_is_refused(tmp_path: Path) -> None:
    """What is sealed and no checkpoint was made by something else."""
    path = tmp_path / "fold1.checkpoint"
    body = b"something else"
    path.write_bytes(body + state.hashlib.sha256(body).digest())
    with pytest.raises(SettingsError, match=r"fold1\.checkpoint: no checkpoint \(.*Remove it to begin anew"):
        state.load(path, "", CPU)


def test_checkpoint_on_a_full_disk_leaves_the_newest_that_fitted(tmp_path: Path) -> None:
    """A line says so, nothing half written stays, and what was there can still be gone on from."""
    path, said = tmp_path / "fold1.checkpoint", []
    assert state.save(path, {"step": 1, "weights": torch.ones(2000)}, "digest")
    with no_room(4000):
        assert not state.save(path, {"step": 2, "weights": torch.ones(2000)}, "digest", said.append)

    assert sorted(tmp_path.iterdir()) == [path]
    assert said[0].startswith(f"warning: {path} could not be written (File too large); training goes on without it")
    found = state.latest(path, "digest", CPU)
    assert found is not None
    assert found["step"] == 1


def test_checkpoint_for_which_the_former_one_takes_the_room_replaces_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With room for two and not for three, the newest two writes count."""
    path = tmp_path / "fold1.checkpoint"
    for step in (1, 2):
        assert state.save(path, {"step": step}, "digest")
    own, tried = state._write, []

    def write(place: Path, held: object) -> None:
        tried.append(state.former(path).exists())
        if tried[-1]:
            raise OSError(28, "No space left on device")
        own(place, held)

    monkeypatch.setattr(state, "_write", write)
    assert state.save(path, {"step": 3}, "digest")
    assert tried == [True, False]
    assert state.load(path, "digest", CPU)["step"] == 3
    assert state.load(state.former(path), "digest", CPU)["step"] == 2


def test_history_on_a_full_disk_does_not_end_training(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The list of epochs is worth less than the member."""
    (folder / "out").mkdir()
    (folder / "out" / "history_1.csv").symlink_to("/dev/full")

    assert main(words(folder, "waveforms", "out")) == 0
    assert "history_1.csv could not be written (No space left on device)" in capsys.readouterr().out
    assert sorted(members(folder / "out")) == ["fold1.safetensors", "fold2.safetensors", "recipe.toml"]


def test_checkpoints_are_at_most_a_minute_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that moves seven seconds a step: every ninth step, and none is lost to the clock."""
    now = 0.0
    saved = []

    def save(path: Path, found: dict[str, object], digest: str, say: object) -> bool:
        saved.append(found["step"])
        return True

    def is_time() -> bool:
        nonlocal now
        now += 7.0
        return now >= 7 * 40

    monkeypatch.setattr(trainer.time, "monotonic", lambda: now)
    monkeypatch.setattr(trainer.checkpoints, "save", save)
    plan = plan_of({"stages": [{"epochs": 1, "batch": 1}]}, "plan")
    rows = Rows(torch.ones(64, 1).numpy(), torch.ones(64, 1).numpy(), 1)
    hooks = Hooks(lambda *given: rows, lambda *given: 1.0, is_time)
    with pytest.raises(Paused, match="epoch 1 of 1, step 40"):
        Trainer(plan, torch.nn.Linear(1, 1), hooks, 0, "").run(tmp_path / "checkpoint", "nothing")
    assert saved == [9, 18, 27, 36, 40]
