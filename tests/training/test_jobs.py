"""Several members at once: the bytes of one after the other, paused, resumed and refused alike."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from test_trainer import members, same_but_for_the_name
from trained import make_folder, take_one_step, words

from soundpost.errors import SettingsError
from soundpost.training.__main__ import main
from soundpost.training.jobs import devices_of

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Clips and plans; sums are added up by one thread, here as in the processes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield make_folder(tmp_path)
    torch.set_num_threads(threads)


@pytest.mark.parametrize(
    ("text", "devices"),
    [
        ("cpu", ["cpu"]),
        ("cpu:2", ["cpu", "cpu"]),
        ("cuda:0,cuda:1", ["cuda:0", "cuda:1"]),
        ("cuda", ["cuda"]),
        ("cuda:0, cpu:2", ["cuda:0", "cpu", "cpu"]),
    ],
)
def test_devices_are_read_as_people_write_them(text: str, devices: list[str]) -> None:
    """One for each process that may run at once."""
    assert devices_of(text) == devices


@pytest.mark.parametrize("text", ["", "cpu:", "cpu:0", "cuda:0,,cuda:1", "cpu:two"])
def test_device_that_is_none_is_refused(text: str) -> None:
    """With what can be written."""
    with pytest.raises(SettingsError, match=r"is none\. Write cpu, cpu:2, cuda:0, or cuda:0,cuda:1\."):
        devices_of(text)


@pytest.mark.slow
def test_two_jobs_paused_and_resumed_make_the_bytes_of_one(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A limit that is over at once pauses both after a step; called again they finish, and the recipe is the same."""
    one = words(folder, "waveforms", "one")
    assert main(one) == 0
    two = [word if word != "cpu" else "cpu:2" for word in words(folder, "waveforms", "two")]
    capsys.readouterr()
    take_one_step(two)
    said = capsys.readouterr().out
    assert "0 of 2 members done." in said
    assert "Go on with the same command: soundpost train" in said
    assert {path.name for path in (folder / "two").glob("*.checkpoint")} == {"fold1.checkpoint", "fold2.checkpoint"}
    assert main(two) == 0
    assert "member 2 done on cpu" in capsys.readouterr().out
    assert same_but_for_the_name(folder / "one", folder / "two")


@pytest.mark.slow
def test_interrupt_reaches_every_job_once(folder: Path) -> None:
    """Ctrl-C ends both in good order, with checkpoints and status 0; what they made goes on."""
    text = (folder / "waveforms.toml").read_text()
    (folder / "waveforms.toml").write_text(text.replace("epochs = 3", "epochs = 3000"))
    command = [word if word != "cpu" else "cpu:2" for word in words(folder, "waveforms", "out")]
    parent = subprocess.Popen(
        [sys.executable, "-m", "soundpost.training", *command],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    histories = [folder / "out" / f"history_{fold}.csv" for fold in "12"]
    ends = time.monotonic() + 120
    while not all(path.exists() for path in histories) and parent.poll() is None and time.monotonic() < ends:
        time.sleep(0.05)
    parent.send_signal(signal.SIGINT)
    said, _ = parent.communicate(timeout=120)
    assert parent.returncode == 0
    assert "0 of 2 members done." in said
    assert len(list((folder / "out").glob("*.checkpoint"))) == 2


@pytest.mark.slow
def test_job_that_fails_is_named_with_its_last_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Status 2; the other job has stopped in good order."""
    text = (folder / "waveforms.toml").read_text()
    late = '\n[[stages]]\nname = "late"\nepochs = 1\nkeep = "best"\nbest = { first = 5 }\n'
    (folder / "waveforms.toml").write_text(text + late)
    command = [word if word != "cpu" else "cpu:2" for word in words(folder, "waveforms", "out")]
    assert main(command) == 2
    said = capsys.readouterr().err
    assert "stage late: no epoch scored above -inf from epoch 5 on" in said
    assert "All it said is in" in said


def test_members_alone_leave_no_recipe(folder: Path) -> None:
    """What a process of several does, and what a second machine may do."""
    assert main([*words(folder, "waveforms", "out", "--folds", "2"), "--members-only"]) == 0
    assert set(members(folder / "out")) == {"fold2.safetensors"}
