"""The log of a run: quiet where that was asked for, copied to a file while it can be, and never the end of the run."""

import os
import sys
from pathlib import Path

import pytest

from soundpost.launch.log import Log
from soundpost.resources.streams import put


def test_log_prints_and_keeps_a_copy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its own lines and another process's output, as they come."""
    log = Log(tmp_path / "log.txt")
    log.say("a line")
    log.relay("half of ")
    log.relay("another\n")

    assert capsys.readouterr().out == (tmp_path / "log.txt").read_text() == "a line\nhalf of another\n"


def test_quiet_log_prints_what_is_urgent_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Warnings and errors; the copy holds everything."""
    log = Log(tmp_path / "log.txt", is_quiet=True)
    for text in ("clips: here", "warning: numpy is old", "error: no weights"):
        log.say(text)
    log.relay("of the engine\n")

    assert capsys.readouterr().out == "warning: numpy is old\nerror: no weights\n"
    assert (tmp_path / "log.txt").read_text().splitlines()[-1] == "of the engine"


def test_copy_that_cannot_be_written_is_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And costs nothing else."""
    log = Log(tmp_path / "nowhere" / "log.txt")
    log.say("a line")
    log.say("another")

    first, warning, second = capsys.readouterr().out.splitlines()
    assert (first, second) == ("a line", "another")
    assert warning.startswith("warning: --log ")
    assert warning.endswith("cannot be written (No such file or directory); the log is printed alone")


def test_output_whose_reader_is_gone_goes_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the first failure on, and without one at the end."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        put("nobody reads this")
        put("nor this")
        monkeypatch.undo()
    put("closed, too", out)
