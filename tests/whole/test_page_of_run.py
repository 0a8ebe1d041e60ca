"""kernel.py --report: a run leaves its page of pictures beside its submission, or does without, none the worse."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ClipMaker, RecipeMaker

from soundpost.kernel.build import build
from soundpost.launch.rerun import MARK

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def command(make_assets: RecipeMaker, make_clips: ClipMaker, tmp_path: Path) -> list[str]:
    """A kernel of one small member over three clips, asked for a page beside its submission."""
    kernel = build(ROOT / "src", make_assets({"folds": 1}) / "submission.toml")
    (tmp_path / "kernel.py").write_text(kernel.text)
    contest = make_clips([0.3, 0.5, 0.7])
    (contest / "test" / "clip002.wav").write_bytes(b"RIFF")
    paths = ["--test-dir", str(contest / "test"), "--out", str(tmp_path / "submission.csv")]
    return [sys.executable, str(tmp_path / "kernel.py"), "--device", "cpu", "--progress", "lines", *paths]


def run(command: list[str], *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The kernel, in a process that does not know the checkout."""
    known = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", MARK)} | environment
    return subprocess.run([*command, *options], capture_output=True, text=True, check=False, env=known, timeout=120)


def test_kernel_writes_its_page_after_its_submission(command: list[str], tmp_path: Path) -> None:
    """It carries all that the page needs; pictures of the clips are in it, and no sound."""
    result = run(command, "--report", str(tmp_path / "report.html"))

    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.rstrip().endswith(f"report: {tmp_path / 'report.html'}")
    text = (tmp_path / "report.html").read_text()
    assert "<h1>Soundpost run</h1>" in text
    assert "status 0</span>" in text
    assert set(re.findall(r"<strong>(\S+)</strong>", text)) == {"clip000.wav", "clip001.wav"}
    assert text.count('src="data:image/png;base64,') == 2
    assert "<audio" not in text
    assert (tmp_path / "report.html").stat().st_mtime >= (tmp_path / "submission.csv").stat().st_mtime


def test_page_that_cannot_be_written_costs_nothing(command: list[str], tmp_path: Path) -> None:
    """The status, the submission and its record are those of the run."""
    result = run(command, "--report", str(tmp_path / "nowhere" / "report.html"))

    assert result.returncode == 0, result.stdout + result.stderr
    assert "no page, its process ended with status 2: No such file or directory" in result.stdout
    assert json.loads((tmp_path / "run.json").read_text())["status"] == 0
    assert len((tmp_path / "submission.csv").read_text().splitlines()) == 4


def test_scored_rerun_makes_no_page(command: list[str], tmp_path: Path) -> None:
    """Nobody sees its files, so it ends as soon as it can."""
    result = run(command, "--report", str(tmp_path / "report.html"), **{MARK: "1"})

    assert result.returncode == 0, result.stdout + result.stderr
    assert "report" not in result.stdout
    assert not (tmp_path / "report.html").exists()
