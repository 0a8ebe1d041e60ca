"""The command soundpost fit: what cannot be used is refused in one line; Ctrl-C keeps what was learned."""

import csv
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny_tables import RATE, TINY

from soundpost.training.fit import main, read_template

ROOT = Path(__file__).resolve().parents[2]
CSV = "fname,labels,fold\n0.wav,low,1\n1.wav,high,1\n2.wav,low,2\n3.wav,high,2\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four clips in two folds, a csv and a template."""
    noise = np.random.default_rng(0).standard_normal((4, RATE)) * 0.1
    for number, clip in enumerate(noise):
        soundfile.write(tmp_path / f"{number}.wav", clip, RATE)
    (tmp_path / "clips.csv").write_text(CSV)
    (tmp_path / "template.toml").write_text(TINY)
    return tmp_path


def words(folder: Path, *more: str, template: str = "template.toml", table: str = "clips.csv") -> list[str]:
    """The command line behind soundpost fit."""
    places = ["--clips", str(folder), "--csv", str(folder / table), "--out", str(folder / "out")]
    return [str(folder / template), *places, "--device", "cpu", "--epochs", "2", "--batch", "2", *more]


REFUSED = [
    (["--epochs", "-3"], "--epochs -3: at least 1 is needed."),
    (["--batch", "0"], "--batch 0: at least 1 is needed."),
    (["--learning-rate", "0"], "--learning-rate 0: more than 0 is needed."),
    (["--learning-rate", "nan"], "--learning-rate nan: more than 0 is needed."),
    (["--mixup", "-1"], "--mixup -1.0: at least 0 is needed."),
    (["--score-clips", "-1"], "--score-clips -1: at least 0 is needed."),
    (["--heads", "1,x"], "--heads 1,x: could not convert string to float: 'x'. Write numbers"),
    (["--folds", "1"], "--folds 1: at least 2 are needed"),
    (["--folds", "0"], "--folds 0: at least 2 are needed"),
    (["--only", "7"], "no fold 7; folds are 1, 2. Correct --only."),
    (["--device", "cuda:7"], "--device cuda:7 does not work here"),
    (["--device", "gpu"], "--device gpu does not work here"),
    (["--plan", "away.toml"], "plan away.toml: No such file or directory. Name a training.toml."),
    (["--start", "nowhere"], "--start nowhere: no fold1.safetensors there."),
]


@pytest.mark.parametrize(("more", "message"), REFUSED, ids=[" ".join(more) for more, _ in REFUSED])
def test_fit_refuses_in_one_line(
    folder: Path, more: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 2, what was given, and what to do."""
    assert main(words(folder, *more)) == 2

    said = capsys.readouterr().err
    assert message in said
    assert len([line for line in said.splitlines() if line.startswith("error:")]) == 1
    assert not (folder / "out" / "recipe.toml").exists()


TABLES = [
    ("", "clips.csv: no table"),
    ("fname,labels,fold\n", "clips.csv: no clip in it."),
    ("fname,labels,fold\n0.wav,Ger\xe4usch,1\n", "clips.csv: not UTF-8"),
    ("fname,labels\n0.wav,low\n", "clips.csv: no column fold. Add it; without folds give --folds."),
    (CSV.replace(",2\n", ",1\n"), "all clips are in fold 1, whose member would hear none. Give --folds 2"),
    (CSV.replace("3.wav", "x.wav").replace("2.wav", "y.wav"), "2 of 4 clips are not there: y.wav, x.wav."),
]


@pytest.mark.parametrize(("text", "message"), TABLES, ids=["empty", "head", "latin-1", "no fold", "one fold", "away"])
def test_fit_table_that_cannot_be_used_is_refused(
    folder: Path, text: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is decoded."""
    (folder / "clips.csv").write_bytes(text.encode("latin-1"))

    assert main(words(folder)) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "spectrograms" not in said


def test_fit_table_that_is_not_there_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By its path."""
    assert main(words(folder, table="away.csv")) == 2
    assert "away.csv: no such file. Give the csv of the clips." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[model]\nname = 'compact'\n", r"template.toml: no name in [front_end]. Write both"),
        ("[front_end]\nn_mels = 3\n", r"template.toml: no name in [front_end], [model]."),
        ("model = \n", "template.toml: Invalid value"),
        ("# Ger\xe4usch\n", "template.toml: 'utf-8' codec can't decode"),
        (TINY.replace('"compact"', '"compcat"'), "model 'compcat' is not known"),
    ],
)
def test_fit_template_that_cannot_be_used_is_refused(
    folder: Path, text: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is absent is named."""
    (folder / "template.toml").write_bytes(text.encode("latin-1"))

    assert main(words(folder)) == 2
    assert message in capsys.readouterr().err


def test_fit_template_is_known_by_its_name(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One of importers/templates; a word that is neither is refused."""
    assert read_template("argus")["front_end"]["name"] == "log_mel"
    assert main(words(folder, template="nothing")) == 2
    assert "nothing: [Errno 2] No such file" in capsys.readouterr().err


def test_fit_module_of_the_former_name_is_the_same_command(folder: Path) -> None:
    """One line and status 2 there, too."""
    done = run(folder, "-m", "soundpost.training.recipe_fit", *words(folder, "--epochs", "-3"))

    assert done.returncode == 2
    assert done.stderr.splitlines() == ["error: --epochs -3: at least 1 is needed."]


def test_fit_prints_what_comes_next(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The recipe is there; what to do with it."""
    assert main(words(folder)) == 0

    *_, last_but_one, last = capsys.readouterr().out.splitlines()
    assert last_but_one == f"{folder / 'out' / 'recipe.toml'} is there. Next: name out in submission.toml, then"
    assert last == "python build_kernel.py"


def test_fit_of_another_training_into_the_same_folder_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Finished members stay those of their csv, settings and seed; the same call again changes nothing."""
    assert main(words(folder)) == 0
    before = (folder / "out" / "fold1.safetensors").read_bytes()
    assert main(words(folder)) == 0
    for more in (["--seed", "1"], ["--epochs", "3"], ["--learning-rate", "0.01"]):
        capsys.readouterr()
        assert main(words(folder, *more)) == 2
        assert "fold1.safetensors is of another training: digest " in capsys.readouterr().err
    (folder / "clips.csv").write_text(CSV.replace("0.wav,low", "0.wav,high"))
    assert main(words(folder)) == 2
    assert (folder / "out" / "fold1.safetensors").read_bytes() == before


def test_fit_recipe_is_named_after_its_folder(folder: Path) -> None:
    """The build looks for it there."""
    assert main(words(folder)) == 0
    assert 'name = "out"' in (folder / "out" / "recipe.toml").read_text()


def test_fit_interrupted_leaves_a_checkpoint_and_goes_on_from_it(folder: Path) -> None:
    """Ctrl-C as a terminal sends it: status 0, the same command once more, and the rest of the epochs alone."""
    command = ["-m", "soundpost.cli", "fit", *words(folder, "--epochs", "100000")]
    began = subprocess.Popen(
        [sys.executable, *command], env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    history = folder / "out" / "history_1.csv"
    until = time.monotonic() + 120
    while not (history.is_file() and history.read_text().count("\n") > 3) and time.monotonic() < until:
        time.sleep(0.05)
    began.send_signal(signal.SIGINT)
    printed, errors = began.communicate(timeout=120)

    assert began.returncode == 0, errors
    assert "paused in stage" in printed
    assert "Go on with the same command: soundpost fit " in printed
    assert (folder / "out" / "fold1.checkpoint").is_file()
    assert "Traceback" not in errors
    with history.open(newline="") as file:
        assert 2 < len(list(csv.reader(file))) < 100_000


def test_fit_in_another_thread_trains(folder: Path) -> None:
    """Where no handler of a signal may be set, as in a server; only Ctrl-C in good order is lost."""
    status: list[int] = []
    thread = threading.Thread(target=lambda: status.append(main(words(folder))))
    thread.start()
    thread.join(120)
    assert status == [0]
    assert (folder / "out" / "fold1.safetensors").is_file()


def environment() -> dict[str, str]:
    """With the source of this checkout."""
    return {**os.environ, "PYTHONPATH": str(ROOT / "src")}


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """A process of its own, in the folder."""
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )
