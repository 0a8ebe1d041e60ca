"""The kernel with its real source and weights: as a script, from a locked folder, in a notebook cell."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
import soundfile
from nbclient import NotebookClient

from soundpost.kernel.build import build
from soundpost.kernel.render import Kernel, notebook, sent_bytes
from soundpost.launch.loader import SETTINGS
from soundpost.launch.main import main

ROOT = Path(__file__).resolve().parents[2]
SUBMISSION = ROOT / "weights" / "submission.toml"
COLUMNS = ("Bark", "Rain", "Waves_and_surf")
RATE = 44100  # Hz
GOAL_BYTES = 800_000  # Kaggle allows 1,000,000


@pytest.fixture(scope="module")
def kernel() -> Kernel:
    """All members of the shipped submission."""
    return build(ROOT / "src", SUBMISSION)


@pytest.fixture
def contest(tmp_path: Path) -> Path:
    """A folder with sample_submission.csv and the five clips of test/: noise, tones, silence, one cut, one missing."""
    folder = tmp_path / "contest"
    (folder / "test").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i, seconds in enumerate((0.3, 1.7, 4.0)):
        samples = int(seconds * RATE)
        tone = np.sin(2 * np.pi * 440 * (i + 1) * np.arange(samples) / RATE)
        soundfile.write(folder / "test" / f"{i}.wav", 0.3 * tone + 0.1 * rng.standard_normal(samples), RATE)
    (folder / "test" / "3.wav").write_bytes(b"RIFF")
    rows = [["fname", *COLUMNS], *([f"{i}.wav", *"000"] for i in range(5))]
    with (folder / "sample_submission.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder


def _environment(temporary: Path) -> dict[str, str]:
    """The environment of a process which knows neither the checkout nor an older run."""
    temporary.mkdir()
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return {**kept, "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"}


def _run(script: Path, contest: Path, *options: str) -> subprocess.CompletedProcess[str]:
    temporary = contest.with_name("temporary")
    paths = ("--test-dir", str(contest / "test"), "--sample-submission", str(contest / "sample_submission.csv"))
    arguments = [sys.executable, str(script), *paths, "--out", str(contest / "out.csv"), "--device", "cpu", *options]
    environment = _environment(temporary)
    result = subprocess.run(
        arguments, cwd=temporary, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert list(temporary.iterdir()) == [], "something was left behind"
    return result


def _assert_valid(out: Path) -> None:
    """Rows and columns of the sample submission, numbers in [0, 1], and answers that differ between clips."""
    with out.open(newline="") as file:
        head, *rows = csv.reader(file)
    table = np.array([row[1:] for row in rows], float)
    assert head == ["fname", *COLUMNS]
    assert [row[0] for row in rows] == [f"{i}.wav" for i in range(5)]
    assert ((table >= 0) & (table <= 1)).all()
    assert len(np.unique(table[:3], axis=0)) == 3


def test_kernel_with_all_members_is_under_the_limit(kernel: Kernel) -> None:
    """Four members travel inside one file that Kaggle takes, script or notebook, with room for what is to come."""
    assert len(kernel.members) >= 4
    assert kernel.size < GOAL_BYTES
    assert sent_bytes(notebook(kernel, "# Title")) < GOAL_BYTES


def test_kernel_built_twice_is_the_same_bytes(kernel: Kernel) -> None:
    """Building changes nothing unless a part changed."""
    assert kernel.text == build(ROOT / "src", SUBMISSION).text


def test_kernel_settings_are_options_of_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Every line of the settings block is known to the kit, so that none is edited in vain."""
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["--help"], SETTINGS)

    printed = capsys.readouterr().out
    assert all(f"--{name}" in printed for name in SETTINGS)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_kernel_alone_in_an_empty_folder_writes_a_submission(
    kernel: Kernel, contest: Path, tmp_path: Path, method: str
) -> None:
    """Five rows, two of them without sound: every row is valid, and the unreadable one is named."""
    script = tmp_path / "empty" / "kernel.py"
    script.parent.mkdir()
    script.write_text(kernel.text)

    result = _run(script, contest, "--start-method", method, "--workers", "2")

    assert result.returncode == 0, result.stdout + result.stderr
    _assert_valid(contest / "out.csv")
    assert "3.wav" in result.stdout
    assert [path.name for path in script.parent.iterdir()] == ["kernel.py"]


def test_kernel_in_a_read_only_folder_writes_a_submission(kernel: Kernel, contest: Path, tmp_path: Path) -> None:
    """Kaggle's source folder cannot be written; neither that nor the clips' folder needs to be."""
    script = tmp_path / "locked" / "kernel.py"
    script.parent.mkdir()
    script.write_text(kernel.text)
    for folder in (script.parent, contest / "test"):
        folder.chmod(0o555)

    result = _run(script, contest)

    for folder in (script.parent, contest / "test"):
        folder.chmod(0o755)
    assert result.returncode == 0, result.stdout + result.stderr
    _assert_valid(contest / "out.csv")
    assert [path.name for path in script.parent.iterdir()] == ["kernel.py"]
    assert len(list((contest / "test").iterdir())) == 4


def test_kernel_in_a_notebook_cell_writes_a_submission(
    kernel: Kernel, contest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pasted, its settings edited as a person would, it writes submission.csv where the notebook runs."""
    working = tmp_path / "working"
    working.mkdir()
    for key, value in _environment(tmp_path / "temporary").items():
        monkeypatch.setenv(key, value)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    cells = nbformat.from_dict(notebook(kernel, "# Title"))
    nbformat.validate(cells)
    for option, value in (("test-dir", "test"), ("sample-submission", "sample_submission.csv")):
        cells.cells[1].source = cells.cells[1].source.replace(
            f'"{option}": None', f'"{option}": "{contest / value}"', 1
        )

    NotebookClient(cells, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(working)}}).execute()

    _assert_valid(working / "submission.csv")
    printed = "".join(output.text for output in cells.cells[1].outputs if output.output_type == "stream")
    assert "3.wav" in printed
    shown = "".join(str(output) for output in cells.cells[2].outputs)
    assert "status 0 after " in shown
    assert "text/html" in shown
    assert list((tmp_path / "temporary").glob("soundpost-*")) == []


def test_kernel_unpacked_is_the_repository_byte_for_byte(kernel: Kernel, tmp_path: Path) -> None:
    """Nothing is hidden in the block, and nothing runs that is not in the repository."""
    script = tmp_path / "kernel.py"
    script.write_text(kernel.text)
    written = tmp_path / "written"

    command = [sys.executable, str(script), "--unpack", str(written)]
    done = subprocess.run(
        command, env=_environment(tmp_path / "temporary"), capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    files = list(written.rglob("*.py"))
    assert len(files) > 50
    for path in files:
        assert path.read_bytes() == (ROOT / "src" / path.relative_to(written)).read_bytes(), path


def test_kernel_unpacked_can_be_changed_and_run_with_true_lines(kernel: Kernel, contest: Path, tmp_path: Path) -> None:
    """A defect is reported with the file and line of the repository, and tried out without a build."""
    source = (ROOT / "src" / "soundpost" / "launch" / "main.py").read_text()
    statement = "    began = time.monotonic()\n"
    line = source[: source.index(statement)].count("\n") + 1
    script = tmp_path / "kernel.py"
    script.write_text(kernel.text)
    written = tmp_path / "written"
    environment = _environment(tmp_path / "temporary")
    subprocess.run([sys.executable, str(script), "--unpack", str(written)], env=environment, check=True)
    (written / "soundpost" / "launch" / "main.py").write_text(
        source.replace(statement, "    raise ZeroDivisionError\n", 1)
    )

    command = [sys.executable, "-m", "soundpost.launch.main", "--test-dir", str(contest / "test")]
    done = subprocess.run(command, cwd=written, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert f'/soundpost/launch/main.py", line {line}, in main\n    raise ZeroDivisionError\n' in done.stderr


@pytest.mark.parametrize("options", [("--time-limt", "30m"), ("--sed=1",)])
def test_kernel_unknown_option_is_refused_with_the_nearest(
    kernel: Kernel, contest: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    """A limit that was mistyped is never taken for the default."""
    script = tmp_path / "kernel.py"
    script.write_text(kernel.text)

    result = _run(script, contest, *options)

    assert result.returncode == 2
    assert f"kernel.py: error: {options[0].partition('=')[0]} is no option" in result.stderr
    assert not (contest / "out.csv").exists()
