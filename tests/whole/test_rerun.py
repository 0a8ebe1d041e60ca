"""The way a kernel meets its contest: both mount layouts, nothing there yet, other, old and very many files."""

import csv
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Self

import nbformat
import pytest
from nbclient import NotebookClient

from soundpost.contest import clips, inputs
from soundpost.ensemble import attached
from soundpost.errors import SettingsError
from soundpost.kernel.build import build
from soundpost.kernel.render import Kernel, notebook
from soundpost.launch.rerun import RUN_TYPE
from soundpost.resources.folders import MAX_PER_FOLDER

ROOT = Path(__file__).resolve().parents[2]
SECRET = "made-up-token"
COLUMNS = ["Bark", "Rain", "Siren", "Tick-tock"]
LAYOUTS = {
    "older": ("freesound-audio-tagging-2019", "soundpost-weights"),
    "newer": ("competitions/freesound-audio-tagging-2019", "datasets/somebody/soundpost-weights/unpacked"),
}

Maker = Callable[..., Path]


@pytest.fixture
def kernel(make_assets: Maker) -> Kernel:
    """Three members, the second of which comes by a dataset."""
    submission = make_assets() / "submission.toml"
    return build(ROOT / "src", submission, apart=["tiny0/2"], dataset="somebody/soundpost-weights")


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A process that does not know the checkout, its temporary files in a folder of their own; that folder."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setenv("KAGGLE_USER_SECRETS_TOKEN", SECRET)
    return temporary


def _mount(kernel: Kernel, layout: str, contest: Path, root: Path) -> None:
    """What Kaggle would mount, the weights under a name of their own."""
    competition, weights = (root / place for place in LAYOUTS[layout])
    competition.parent.mkdir(parents=True, exist_ok=True)
    contest.rename(competition)
    weights.mkdir(parents=True)
    for number, file in enumerate(kernel.apart):
        (weights / f"renamed-{number}").write_bytes(file.source.read_bytes())


def _script(kernel: Kernel, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    folder.mkdir(exist_ok=True)
    script = folder.with_name("kernel.py")
    script.write_text(kernel.text)
    command = [sys.executable, str(script), "--device", "cpu", "--progress", "lines", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)


def _rows(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        head, *rows = csv.reader(file)
    assert head == ["fname", *COLUMNS]
    assert all(0.0 <= float(value) <= 1.0 for row in rows for value in row[1:])
    return rows


@pytest.mark.parametrize("layout", LAYOUTS)
def test_kernel_as_a_script_finds_contest_and_weights(
    kernel: Kernel, make_clips: Maker, environment: Path, tmp_path: Path, layout: str
) -> None:
    """Without an option but the root, in either layout, every member answers every clip."""
    _mount(kernel, layout, make_clips((0.3, 0.7, 1.2)), tmp_path / "input")

    result = _script(kernel, tmp_path / "working", "--input-root", str(tmp_path / "input"))

    assert result.returncode == 0, result.stdout + result.stderr
    assert "3 of 3 passes complete" in result.stdout
    assert len(_rows(tmp_path / "working" / "submission.csv")) == 3
    assert SECRET not in result.stdout + result.stderr


@pytest.mark.parametrize("layout", LAYOUTS)
def test_kernel_as_a_notebook_finds_contest_and_weights(
    kernel: Kernel, make_clips: Maker, environment: Path, tmp_path: Path, layout: str
) -> None:
    """Run as Kaggle runs a notebook, with the root in its settings block."""
    _mount(kernel, layout, make_clips((0.3, 0.7, 1.2)), tmp_path / "input")
    cells = nbformat.from_dict(notebook(kernel, "# Title"))
    first = '    "test-dir": None'
    root = f'    "input-root": {str(tmp_path / "input")!r},\n{first}'
    cells.cells[1].source = cells.cells[1].source.replace(first, root, 1)
    working = tmp_path / "working"
    working.mkdir()

    NotebookClient(cells, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(working)}}).execute()

    printed = "".join(output.text for output in cells.cells[1].outputs if output.output_type == "stream")
    assert "3 of 3 passes complete" in printed
    assert "\r" not in printed  # a saved notebook keeps every update of a bar for ever
    assert len(printed.splitlines()) <= 20
    assert len(_rows(working / "submission.csv")) == 3


def test_kernel_without_its_dataset_leaves_that_member_out_and_names_it(
    kernel: Kernel, make_clips: Maker, environment: Path, tmp_path: Path
) -> None:
    """Two of three members answer; which one is missing, and what to attach, is in the log."""
    _mount(kernel, "older", make_clips((0.3, 0.7)), tmp_path / "input")
    (tmp_path / "input" / "soundpost-weights" / "renamed-0").unlink()

    result = _script(kernel, tmp_path / "working", "--input-root", str(tmp_path / "input"))

    assert result.returncode == 0, result.stdout + result.stderr
    assert "member skipped: tiny0/2" in result.stdout
    assert "Attach the dataset somebody/soundpost-weights" in result.stdout


def test_kernel_without_any_member_says_what_is_attached(
    make_assets: Maker, make_clips: Maker, environment: Path, tmp_path: Path
) -> None:
    """All weights apart and none attached: priors are written, what is there is listed, and the status is 2."""
    submission = make_assets({"folds": 1}) / "submission.toml"
    kernel = build(ROOT / "src", submission, apart=["tiny0/1"], dataset="somebody/soundpost-weights")
    _mount(kernel, "newer", make_clips((0.3,)), tmp_path / "input")
    for file in (tmp_path / "input" / LAYOUTS["newer"][1]).iterdir():
        file.unlink()

    result = _script(kernel, tmp_path / "working", "--input-root", str(tmp_path / "input"))

    assert result.returncode == 2, result.stdout + result.stderr
    assert "no member can be used" in result.stdout
    assert "there is: competitions, datasets, competitions/freesound-audio-tagging-2019" in result.stdout
    assert _rows(tmp_path / "working" / "submission.csv") == [["clip000.wav", "0.1", "0.2", "0.3", "0.4"]]


@pytest.mark.parametrize("state", ["absent", "empty", "other files"])
def test_run_before_the_hidden_clips_are_there_leaves_a_valid_submission(
    make_assets: Maker, make_clips: Maker, environment: Path, tmp_path: Path, state: str
) -> None:
    """Where a version is saved the clips of the sample may be missing: its rows get the priors, and the run succeeds.

    The old submission.csv that lies there is replaced; the same command over the true folder then predicts.
    """
    contest = make_clips((0.3, 0.5))
    hidden = contest.rename(tmp_path / "hidden")
    contest.mkdir()
    (contest / "sample_submission.csv").write_bytes((hidden / "sample_submission.csv").read_bytes())
    if state != "absent":
        (contest / "test").mkdir()
    if state == "other files":
        (contest / "test" / "another.wav").write_bytes((hidden / "test" / "clip000.wav").read_bytes())
    working = tmp_path / "working"
    working.mkdir()
    (working / "submission.csv").write_text("fname,Old\nold.wav,1\n")
    command = [sys.executable, "-m", "soundpost.launch.main", "--assets", str(make_assets()), "--device", "cpu"]
    known = {**os.environ, "PYTHONPATH": str(ROOT / "src"), RUN_TYPE: "Batch"}

    def run() -> subprocess.CompletedProcess[str]:
        options = ("--input-root", str(tmp_path / "contest"), "--progress", "lines")
        return subprocess.run(
            [*command, *options], cwd=working, env=known, capture_output=True, text=True, timeout=300, check=False
        )

    first = run()
    before = _rows(working / "submission.csv")
    (contest / "test").mkdir(exist_ok=True)
    for file in (hidden / "test").iterdir():
        file.rename(contest / "test" / file.name)
    second = run()

    assert (first.returncode, second.returncode) == (0, 0), first.stdout + second.stdout
    assert "2 of them without a file" in first.stdout
    assert before == [[f"clip00{i}.wav", "0.1", "0.2", "0.3", "0.4"] for i in range(2)]
    assert [row[0] for row in _rows(working / "submission.csv")] == ["clip000.wav", "clip001.wav"]
    assert _rows(working / "submission.csv") != before


class _Crowd:
    """A folder of a hundred thousand files, as os.scandir shows it; how many were looked at is counted."""

    looked_at = 0

    def __init__(self, folder: object) -> None:
        self.entries = (
            SimpleNamespace(
                name=f"{i}.wav",
                path=f"{folder}/{i}.wav",
                is_dir=lambda: False,
                stat=lambda: SimpleNamespace(st_size=10),
            )
            for i in range(100_000)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def __iter__(self) -> Iterator[SimpleNamespace]:
        for entry in self.entries:
            _Crowd.looked_at += 1
            yield entry


def _locate_nothing(root: Path) -> None:
    with pytest.raises(SettingsError, match="no sample_submission"):
        inputs.locate(root)


@pytest.mark.parametrize(
    ("look", "most"),
    [
        (_locate_nothing, 2 * MAX_PER_FOLDER + 10),
        (lambda root: attached.Attached(root, [], "")._search(), MAX_PER_FOLDER + 10),
        (lambda root: clips.find_clips(("a.wav",), root), 20_001),
    ],
    ids=["contest", "weights", "clips"],
)
def test_crowded_folder_is_never_walked_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, look: Callable[[Path], object], most: int
) -> None:
    """A bounded number of a hundred thousand unrelated files is looked at, whatever is searched for."""
    monkeypatch.setattr(os, "scandir", _Crowd)
    monkeypatch.setattr(_Crowd, "looked_at", 0)

    look(tmp_path)

    assert 0 < _Crowd.looked_at <= most
