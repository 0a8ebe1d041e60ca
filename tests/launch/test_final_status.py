"""Kaggle's scored rerun never ends answers with an error; everywhere else the status is strict."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from soundpost.contest.submission import Sample, write
from soundpost.launch import main as launch_main
from soundpost.launch.main import main
from soundpost.launch.rerun import MARK, final_status, is_rerun
from soundpost.launch.supervisor import Supervisor

SAMPLE = Sample("fname", ("Bark", "Rain"), ("a.wav", "b.wav"))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A valid submission."""
    write(tmp_path / "submission.csv", SAMPLE, [(0.25, 0.5), (0.5, 1.0)])
    return tmp_path / "submission.csv"


@pytest.fixture
def rerun(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of the scored rerun."""
    monkeypatch.setenv(MARK, "1")


@pytest.mark.parametrize("status", [1, 2, 3, 130, 143])
@pytest.mark.usefixtures("rerun")
def test_rerun_valid_file_with_answers_ends_with_0_and_the_truth_in_the_log(out: Path, status: int) -> None:
    """An errored rerun is not scored, and the answers that are there would be lost."""
    said: list[str] = []

    assert final_status(status, 7, out, SAMPLE, said.append) == 0
    assert said[0].startswith(f"status {status}, but this is the scored rerun")
    assert "7 predicted clips" in said[0]


@pytest.mark.parametrize("status", [1, 2, 3])
@pytest.mark.usefixtures("rerun")
def test_rerun_without_answers_keeps_its_status(out: Path, status: int) -> None:
    """Class priors alone are no result, and what went wrong must be seen."""
    assert final_status(status, 0, out, SAMPLE, print) == status


@pytest.mark.parametrize("text", ["", "fname,Bark,Rain\na.wav,0.5,0.5\n", "fname,Bark,Rain\na.wav,nan,1\nb.wav,0,1\n"])
@pytest.mark.usefixtures("rerun")
def test_rerun_file_that_is_not_valid_keeps_its_status(out: Path, text: str) -> None:
    """Status 0 would promise a file that Kaggle then refuses."""
    said: list[str] = []
    out.write_text(text)

    assert final_status(1, 7, out, SAMPLE, said.append) == 1
    assert "is not valid" in said[0]


@pytest.mark.usefixtures("rerun")
def test_rerun_good_end_says_nothing(out: Path) -> None:
    """Nothing is added to the log of a run that ended well."""
    assert final_status(0, 7, out, SAMPLE, pytest.fail) == 0


@pytest.mark.parametrize("value", [None, ""])
def test_elsewhere_the_status_stays_strict(out: Path, monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    """Without the mark, or with an empty one, an error is an error."""
    monkeypatch.delenv(MARK, raising=False)
    if value is not None:
        monkeypatch.setenv(MARK, value)

    assert not is_rerun()
    assert [final_status(status, 7, out, SAMPLE, pytest.fail) for status in (1, 2, 3, 143)] == [1, 2, 3, 143]


def _end(answered: int, how: Callable[[], int]) -> Callable[[Supervisor], int]:
    """A supervisor's run that ends in some way after so many answers."""

    def run(self: Supervisor) -> int:
        self.answered = answered
        return how()

    return run


def _defect() -> int:
    raise ValueError("nobody foresaw this")


@pytest.mark.parametrize(
    ("answered", "how", "in_rerun", "elsewhere"),
    [
        (2, lambda: 1, 0, 1),
        (2, lambda: 2, 0, 2),
        (2, lambda: 128 + signal.SIGTERM, 0, 143),
        (2, lambda: 0, 0, 0),
        (0, lambda: 3, 3, 3),
        (0, lambda: 2, 2, 2),
    ],
)
def test_main_status_in_the_rerun_and_elsewhere(
    make_assets: Callable[..., Path],
    make_clips: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    answered: int,
    how: Callable[[], int],
    in_rerun: int,
    elsewhere: int,
) -> None:
    """From the supervisor's word to the process's end, with the file that main itself wrote."""
    contest = make_clips((0.3, 0.3))
    argv = ["--assets", str(make_assets()), "--test-dir", str(contest / "test"), "--out", str(tmp_path / "out.csv")]
    monkeypatch.setattr(launch_main.Supervisor, "run", _end(answered, how))
    monkeypatch.delenv(MARK, raising=False)

    outside = main(argv)
    monkeypatch.setenv(MARK, "1")

    assert (main(argv), outside) == (in_rerun, elsewhere)


def test_main_defect_of_the_supervisor_after_answers_ends_the_rerun_with_0(
    make_assets: Callable[..., Path],
    make_clips: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Even an exception in the process that guards the run costs no answers there; elsewhere it is shown as one."""
    contest = make_clips((0.3, 0.3))
    argv = ["--assets", str(make_assets()), "--test-dir", str(contest / "test"), "--out", str(tmp_path / "out.csv")]
    monkeypatch.setattr(launch_main.Supervisor, "run", _end(2, _defect))
    monkeypatch.delenv(MARK, raising=False)

    with pytest.raises(ValueError, match="nobody foresaw this"):
        main(argv)
    monkeypatch.setenv(MARK, "1")

    assert main(argv) == 0
    printed = capsys.readouterr()
    assert "ValueError: nobody foresaw this" in printed.err
    assert "status 1, but this is the scored rerun" in printed.out


@pytest.mark.parametrize(("mark", "status"), [("1", 0), ("", 1)])
def test_main_engine_that_crashes_after_its_answers_is_an_error_outside_the_rerun_alone(
    make_assets: Callable[..., Path],
    make_clips: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    mark: str,
    status: int,
) -> None:
    """A real process says that it wrote, and dies of a segmentation fault, each time that it is started again."""
    contest = make_clips((0.3, 0.3))
    argv = ["--assets", str(make_assets()), "--test-dir", str(contest / "test"), "--out", str(tmp_path / "out.csv")]
    monkeypatch.setenv(MARK, mark)
    event = json.dumps({"event": "wrote", "answered": 2, "at": 0.1}) + "\n"
    engine = f"import os, signal; os.write(int(os.environ['SOUNDPOST_EVENTS']), {event.encode()!r}); "
    engine += "os.kill(os.getpid(), signal.SIGSEGV)"
    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda command, **others: popen([sys.executable, "-c", engine], **others))

    assert main(argv) == status
    assert "ended with status 1" in capsys.readouterr().out
    assert (tmp_path / "out.csv").read_text().startswith("fname,")
