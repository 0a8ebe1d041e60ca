"""An installation by pip that is no checkout: the command, the pages' templates and the weights are there."""

import csv
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import soundfile
from conftest import waveform

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("src", "weights", "pyproject.toml", "README.md")


@pytest.mark.skipif(find_spec("setuptools") is None, reason="no setuptools here, and no network to get it")
def test_installed_command_tags_a_file_with_the_weights_that_came_along(tmp_path: Path) -> None:
    """Far from the repository: nothing of it is on the path."""
    source, prefix, away = tmp_path / "source", tmp_path / "prefix", tmp_path / "away"
    source.mkdir()
    away.mkdir()
    for part in PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy2
        copy(ROOT / part, source / part)
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*install, "--disable-pip-version-check", "--prefix", str(prefix), str(source)], check=True)
    (site,) = prefix.rglob("site-packages")
    soundfile.write(away / "sound.wav", waveform(1.0, 1), 44100)

    environment = os.environ | {"PYTHONPATH": str(site)}
    command = [sys.executable, str(prefix / "bin" / "soundpost"), "tag", "sound.wav", "--top", "1", "--device", "cpu"]
    result = subprocess.run(command, cwd=away, env=environment, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stderr
    (row,) = csv.DictReader((away / "tags.csv").read_text().splitlines())
    assert row["file"] == "sound.wav"
    assert (site / "soundpost" / "report_page" / "templates" / "report.html").is_file()
