"""The kernel's source under other interpreters than this one, where they are installed: Kaggle's image moves on."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from soundpost.kernel.dependencies import ENTRIES, collect
from soundpost.kernel.source_block import armoured, compressed, index

ROOT = Path(__file__).resolve().parents[2]
FAMILIES = ("models", "front_ends", "views")
# What needs the standard library alone: it can be run, and not only compiled, without torch for that interpreter.
PLAIN = ("arguments", "contest.clips", "contest.inputs", "contest.submission", "ensemble.columns", "ensemble.recipes",
         "engine.batching", "errors", "exit_status", "forecast.hardware", "kernel.source_block", "launch.loader",
         "launch.requirements", "registry", "resources.deadline", "settings")  # fmt: skip
BLOCK = """
import hashlib, json, sys
from soundpost.kernel.source_block import armoured, compressed, index
modules = json.load(sys.stdin)
print(hashlib.sha256((armoured(compressed(modules)) + index(modules)).encode()).hexdigest())
"""


def _interpreters(minor: int) -> Iterator[Path]:
    places = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if "shims" not in folder]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    places += sorted(pyenv.glob(f"3.{minor}.*/bin"))
    yield from (place / f"python3.{minor}" for place in places if (place / f"python3.{minor}").is_file())


@pytest.fixture(params=[11, 12, 13, 14], ids=lambda minor: f"3.{minor}")
def interpreter(request: pytest.FixtureRequest) -> Path:
    """A Python of that version."""
    found = next(_interpreters(request.param), None)
    if found is None:
        pytest.skip(f"no Python 3.{request.param} on this machine")
    return found


def _sources() -> dict[str, str]:
    """Everything a kernel may carry, all families included, and the loader."""
    names = [f"soundpost.{family}.{path.stem}" for family in FAMILIES
             for path in (ROOT / "src" / "soundpost" / family).glob("[a-z]*.py")]  # fmt: skip
    loader = ROOT / "src" / "soundpost" / "launch" / "loader.py"
    return {**collect(ROOT / "src", [*ENTRIES, *names]), "soundpost/launch/loader.py": loader.read_text("utf-8")}


def test_kernel_source_compiles_without_a_warning(interpreter: Path, tmp_path: Path) -> None:
    """No syntax that is younger than 3.11, none that later versions warn of or have dropped."""
    for path, text in _sources().items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, "utf-8")
    code = "import pathlib; [compile(p.read_text('utf-8'), str(p), 'exec') for p in pathlib.Path('.').rglob('*.py')]"

    command = [str(interpreter), "-W", "error", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def test_modules_of_the_standard_library_alone_can_be_imported(interpreter: Path) -> None:
    """What runs before any package is needed runs under this Python, deprecations being errors."""
    code = f"import {', '.join(f'soundpost.{name}' for name in PLAIN)}"

    command = [str(interpreter), "-W", "error", "-B", "-S", "-c", code]
    done = subprocess.run(
        command, cwd=ROOT / "src", env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr


def test_block_of_source_is_the_same_bytes_under_every_interpreter(interpreter: Path) -> None:
    """Who builds with another Python gets the same kernel.py, block and index alike."""
    sources = _sources()
    here = hashlib.sha256((armoured(compressed(sources)) + index(sources)).encode()).hexdigest()

    done = subprocess.run(
        [str(interpreter), "-W", "error", "-B", "-S", "-c", BLOCK],
        cwd=ROOT / "src",
        env={"PATH": os.environ["PATH"]},
        input=json.dumps(sources),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == here


def test_this_interpreter_is_one_that_is_supported() -> None:
    """The oldest one is written down in one place for pip, and here."""
    assert sys.version_info >= (3, 11)
    assert 'requires-python = ">=3.11"' in (ROOT / "pyproject.toml").read_text("utf-8")
