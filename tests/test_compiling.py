"""Compiling pays back or does not begin, and never costs an answer; stand-ins play the compiler and what it makes."""

import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from conftest import compact_arrays
from torch import Tensor

from soundpost import compiling, libraries, runner, trials, workshop
from soundpost.compiling import COMPILE_SECONDS, Compiler, pays_back
from soundpost.libraries import Library
from soundpost.models.compact import Compact, CompactSettings
from soundpost.settings import RunSettings
from soundpost.trials import Choice
from soundpost.views.tiles import Tiles
from soundpost.views.view import Window

TILES = {"views": [{"name": "tiles", "frames": 40, "step": 20, "derivatives": False, "divisor": 1.0}]}
SAME_ANSWER = 2e-6  # of a probability, see test_predict.py


@pytest.mark.parametrize(
    ("minutes", "lanes", "is_worth_it"), [(1, 4, False), (15, 2, False), (17, 2, True), (6, 16, True)]
)
def test_compiling_pays_back_when_much_is_left_to_predict(minutes: float, lanes: int, is_worth_it: bool) -> None:
    """Twice its cost has to be saved, and it takes one of so many cores for its time."""
    assert pays_back(60.0 * minutes, lanes) is is_worth_it


# ---------------------------------------------------------------- the child process
def script(tmp_path: Path, text: str) -> str:
    """An executable that plays the child."""
    path = tmp_path / "child"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IEXEC)
    return str(path)


def ended(compiler: Compiler) -> object:
    """What came of it, after at most ten seconds."""
    for _ in range(1000):
        if (result := compiler.result()) is not None:
            return result
        time.sleep(0.01)
    raise AssertionError("the child goes on")


def test_compiler_that_fails_says_its_last_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No C++ headers, an operation that cannot be compiled: one sentence for the log."""
    monkeypatch.setattr(compiling.sys, "executable", script(tmp_path, "echo warming up; echo no header >&2; exit 7"))
    compiler = Compiler(tmp_path / "private")
    compiler.start(recipe="tiny")

    assert ended(compiler) == "status 7, no header"
    assert not compiler.is_running


def test_compiler_writes_into_its_own_folder_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cache and temporary files lie in the scratch folder of the run, which is removed with it."""
    told = 'echo "$TMPDIR $TORCHINDUCTOR_CACHE_DIR $PWD" > told; echo {} > library.json'
    monkeypatch.setattr(compiling.sys, "executable", script(tmp_path, told))
    compiler = Compiler(tmp_path / "private")
    compiler.start(recipe="tiny")

    folder = ended(compiler)

    assert folder == tmp_path / "private"
    assert all(word.startswith(str(folder)) for word in (tmp_path / "private" / "told").read_text().split())


def test_compiler_that_is_stopped_leaves_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The child starts another compiler, which goes with it; both count in the memory of the run."""
    monkeypatch.setattr(compiling.sys, "executable", script(tmp_path, "sleep 600 & wait"))
    compiler = Compiler(tmp_path / "private")
    compiler.start(recipe="tiny")
    while len(pids := compiler.pids) < 2:
        time.sleep(0.01)

    compiler.stop()

    assert not compiler.is_running
    assert compiler.pids == []
    killed = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
    assert all(process.status() == psutil.STATUS_ZOMBIE for process in psutil.wait_procs(killed, timeout=10)[1])


def test_compiler_that_takes_too_long_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Patience is a multiple of what compiling should take."""
    monkeypatch.setattr(compiling.sys, "executable", script(tmp_path, "sleep 600"))
    monkeypatch.setattr(compiling, "PATIENCE", 0.0)
    compiler = Compiler(tmp_path / "private")
    compiler.start(recipe="tiny")

    assert COMPILE_SECONDS > 0
    assert ended(compiler) == "it took too long"


# ---------------------------------------------------------------- in a run
class Made:
    """Plays a library: the network itself, off by so much."""

    def __init__(self, change: float, tell: Callable[[str], None]) -> None:
        self.change, self.tell = change, tell
        self.choice = Choice(1.03, trials.SAME_BOUND, tell)
        self.calls = 0

    def fits(self, inputs: Tensor) -> bool:
        """Two windows at least."""
        return len(inputs) > 1

    def weights(self, network: torch.nn.Module) -> list[torch.nn.Module]:
        """Here it is the network."""
        if self.change == 9:
            raise ValueError("its layers are not those that were compiled")
        return [network]

    def __call__(self, inputs: Tensor, weights: list[torch.nn.Module]) -> Tensor:
        """Logits."""
        self.calls += 1
        return weights[0](inputs) + self.change


class Ready:
    """Plays a compiler that is done at once."""

    started: list[dict[str, object]]
    says: object

    def __init__(self, folder: Path) -> None:
        self.is_running, self.pids = False, []

    def start(self, **job: object) -> None:
        """Note the job."""
        self.started.append(job)
        self.is_running = True

    def result(self) -> object:
        """The folder, or why there is none."""
        self.is_running = False
        return self.says

    def stop(self) -> None:
        """Nothing is there to be stopped."""


@pytest.fixture
def compile_at_once(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Made]]:
    """Makes every run compile at its first look; returns the list of libraries that it gets."""

    def make(change: float = 0.0, says: object = Path("somewhere"), speed: float = 2.0) -> list[Made]:
        made: list[Made] = []
        monkeypatch.setattr(Ready, "started", [], raising=False)
        monkeypatch.setattr(Ready, "says", says, raising=False)
        monkeypatch.setattr(workshop, "Compiler", Ready)
        monkeypatch.setattr(workshop, "pays_back", lambda seconds, lanes: True)
        monkeypatch.setattr(
            workshop, "Library", lambda folder, lanes, tell: (made.append(Made(change, tell)), made[-1])[1]
        )
        monkeypatch.setattr("soundpost.gauge.SECONDS", 0.0)
        turns = [0]
        monkeypatch.setattr(trials, "_seconds", lambda way, device: (turns.append(0), speed ** (1 - len(turns) % 2))[1])
        return made

    return make


def submission_of(settings: RunSettings) -> np.ndarray:
    """(clips, columns) of a run in this process that ends well."""
    assert runner.run(settings) == 0
    return np.loadtxt(settings.out, delimiter=",", skiprows=1, usecols=range(1, 5), ndmin=2)


@pytest.mark.parametrize(
    ("change", "says", "speed", "words"),
    [
        (0.0, Path("somewhere"), 2.0, "compiled network taken: 2.00 times as fast"),
        (0.1, Path("somewhere"), 2.0, "compiled network not taken: 2.00 times as fast, probabilities within 0.0"),
        (0.0, Path("somewhere"), 1.0, "compiled network not taken: 1.00 times as fast"),
        (9, Path("somewhere"), 2.0, "compiled network not taken: ValueError: its layers are not those"),
        (0.0, "status 1, no header", 2.0, "tiny0: not compiled: status 1, no header"),
    ],
    ids=["taken", "other answers", "too slow", "other layers", "failed"],
)
def test_compiled_network_is_taken_only_where_it_answers_alike_and_faster(
    change: float,
    says: object,
    speed: float,
    words: str,
    make_assets: Callable[..., Path],
    make_clips: Callable[..., Path],
    make_settings: Callable[..., RunSettings],
    compile_at_once: Callable[..., list[Made]],
    capfd: pytest.CaptureFixture[str],
) -> None:
    """In each case the submission is the one without a compiler, which is started once for a recipe."""
    assets, contest = make_assets(TILES), make_clips()
    expected = submission_of(make_settings(assets, contest))
    made = compile_at_once(change, says, speed)
    capfd.readouterr()

    found = submission_of(make_settings(assets, contest))

    np.testing.assert_allclose(found, expected, rtol=0, atol=SAME_ANSWER)
    assert words in capfd.readouterr().out
    assert [job["recipe"] for job in Ready.started] == ["tiny0"]
    assert len(made) == isinstance(says, Path)


@pytest.mark.parametrize("reason", ["whole clips", "no compiler", "half precision", "little memory", "second attempt"])
def test_networks_are_not_compiled_where_they_cannot_be(
    reason: str,
    make_assets: Callable[..., Path],
    make_clips: Callable[..., Path],
    make_settings: Callable[..., RunSettings],
    compile_at_once: Callable[..., list[Made]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Windows of any length, no C++ compiler, bfloat16, no room for one, an engine that died before."""
    compile_at_once()
    others: dict[str, object] = {}
    if reason == "no compiler":
        monkeypatch.setattr(workshop, "is_possible", lambda: False)
    elif reason == "half precision":
        others["precision"] = "bfloat16"
    elif reason == "little memory":
        monkeypatch.setattr(workshop, "COMPILE_BYTES", 2**50)
    elif reason == "second attempt":
        others["attempt"] = 1
    kind = {} if reason == "whole clips" else TILES

    submission_of(make_settings(make_assets(kind), make_clips(), **others))

    assert Ready.started == []


def test_view_is_asked_about_lengths_that_clips_have(
    make_assets: Callable[..., Path],
    make_clips: Callable[..., Path],
    make_settings: Callable[..., RunSettings],
    compile_at_once: Callable[..., list[Made]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A view may refuse a number of frames that its front end never makes, as that of segments does with one."""
    compile_at_once()
    windows = Tiles.windows

    def particular(self: Tiles, frames: int) -> tuple[Window, ...]:
        assert frames > 1
        return windows(self, frames)

    monkeypatch.setattr(Tiles, "windows", particular)

    submission_of(make_settings(make_assets(TILES), make_clips()))

    assert [job["recipe"] for job in Ready.started] == ["tiny0"]


def test_runs_of_a_minute_compile_nothing(
    make_assets: Callable[..., Path],
    make_clips: Callable[..., Path],
    make_settings: Callable[..., RunSettings],
    compile_at_once: Callable[..., list[Made]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The plan's own rule, in a run that has little to do."""
    compile_at_once()
    monkeypatch.setattr(workshop, "pays_back", pays_back)

    submission_of(make_settings(make_assets(TILES), make_clips()))

    assert Ready.started == []


class Awaited(Compiler):
    """The real compiler, which the run waits for, as the run is over long before it."""

    def result(self) -> Path | str | None:
        """Once it is done."""
        while (found := super().result()) is None:
            time.sleep(0.1)
        return found


@pytest.mark.skipif(not compiling.is_possible(), reason="no C++ compiler is installed")
def test_network_is_really_compiled_and_answers_in_a_run_as_it_did(
    make_assets: Callable[..., Path],
    make_clips: Callable[..., Path],
    make_settings: Callable[..., RunSettings],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Nothing plays a part here but the question whether it pays back; the second fold and the third use it, too."""
    assets, contest = make_assets(TILES), make_clips()
    expected = submission_of(make_settings(assets, contest))
    monkeypatch.setattr(workshop, "Compiler", Awaited)
    monkeypatch.setattr(workshop, "pays_back", lambda seconds, lanes: True)
    monkeypatch.setattr(libraries, "LEAST_GAIN", 0.0)
    monkeypatch.setattr("soundpost.gauge.SECONDS", 0.0)

    found = submission_of(make_settings(assets, contest))

    np.testing.assert_allclose(found, expected, rtol=0, atol=trials.SAME_BOUND)
    said = capfd.readouterr().out
    assert said.count("compiled network taken") >= 2, said
    assert "not compiled" not in said


# ---------------------------------------------------------------- the library
def test_library_refuses_weights_of_other_layers() -> None:
    """Names, shapes and strides must be those that were compiled: the C interface checks nothing."""
    network = Compact(CompactSettings(bins=16, widths=(4, 6), strides=(2, 2)), 4)
    network.load_state_dict({name: torch.from_numpy(array) for name, array in compact_arrays(1).items()})
    library = Library.__new__(Library)
    library.names, library.shape = [["stem.weight", [1], [1]]], torch.Size([1, 16, 40])

    with pytest.raises(ValueError, match="its layers are not those that were compiled"):
        library.weights(network)
    assert library.fits(torch.zeros(2, 1, 16, 40))
    assert not library.fits(torch.zeros(1, 1, 16, 40)), "one window is another program to the compiler"
    assert not library.fits(torch.zeros(2, 1, 16, 41))
    assert os.environ.get("TORCHINDUCTOR_CACHE_DIR") is None, "the engine's own environment stays as it is"
