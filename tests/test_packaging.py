"""What `pip install .` gives: the whole package with its data, types included, on versions said in one place."""

import csv
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import soundfile
from conftest import waveform

from soundpost.launch.requirements import OLDEST

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
WITHOUT_NETWORK = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--quiet"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which a copy of the project was installed, as building writes beside the source."""
    pytest.importorskip("setuptools", reason="the build backend is not installed beside the tests")
    copy = tmp_path_factory.mktemp("project")
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, copy)
    shutil.copytree(ROOT / "src", copy / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    shutil.copytree(ROOT / "weights", copy / "weights")
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", *WITHOUT_NETWORK, "--target", str(target), str(copy)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return target


def test_installed_package_has_every_file_of_the_source(site: Path) -> None:
    """Modules, templates and the mark of types arrive, whatever kind of file they are."""
    source = {path.relative_to(ROOT / "src") for path in (ROOT / "src" / "soundpost").rglob("*") if path.is_file()}
    source = {path for path in source if "__pycache__" not in path.parts}
    installed = {path.relative_to(site) for path in (site / "soundpost").rglob("*") if path.is_file()}

    assert source - installed == set()
    assert Path("soundpost/py.typed") in installed


def test_linux_is_said_to_be_needed_where_a_person_installs() -> None:
    """In the paragraph of the README that tells of `pip install .`, with the reason, and in the package's metadata."""
    paragraphs = (ROOT / "README.md").read_text("utf-8").split("\n\n")
    (install,) = (text for text in paragraphs if "`pip install .`" in text)

    assert re.search(r"It needs Linux, for \w", install)
    assert [name for name in PROJECT["classifiers"] if name.startswith("Operating System")] == [
        "Operating System :: POSIX :: Linux"
    ]


def test_installed_command_tags_a_file_with_the_weights_that_came_along(site: Path, tmp_path: Path) -> None:
    """Far from the repository: nothing of it is on the path."""
    soundfile.write(tmp_path / "sound.wav", waveform(1.0, 1), 44100)
    command = [sys.executable, str(site / "bin" / "soundpost"), "tag", "sound.wav", "--top", "1", "--device", "cpu"]
    environment = os.environ | {"PYTHONPATH": str(site)}

    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stderr
    (row,) = csv.DictReader((tmp_path / "tags.csv").read_text().splitlines())
    assert row["file"] == "sound.wav"


def test_installed_package_reads_its_templates(site: Path) -> None:
    """An importer finds its data from where the package was installed, without the checkout."""
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r})\n"
        "import soundpost.importers.recipe_files as files\n"
        "print(files.__file__)\n"
        "print(files.template('argus')['model']['name'])"
    )
    ran = subprocess.run(
        [sys.executable, "-I", "-c", code], check=True, capture_output=True, text=True, timeout=120, cwd=site
    )
    place, name = ran.stdout.splitlines()

    assert Path(place).is_relative_to(site)
    assert name == "argus_aux_skip_attention"


def _names(requirements: list[str]) -> dict[str, str]:
    """Package -> the version behind ==, >= or nothing, as lists of requirements write them."""
    parts = [re.fullmatch(r"([\w.-]+)(?:[=>]=)?(.*)", line) for line in requirements]
    return {match[1].lower(): match[2] for match in parts if match}


def _pinned(file: str) -> dict[str, str]:
    lines = (ROOT / file).read_text("utf-8").splitlines()
    return _names([line for line in lines if line and not line.startswith("#")])


def test_package_asks_for_the_versions_that_a_kernel_asks_for() -> None:
    """The oldest versions stand in launch/requirements.py, and pyproject.toml says the same of each of them."""
    asked = _names(PROJECT["dependencies"])

    assert {name: asked.get(name) for name in OLDEST} == OLDEST


def test_every_dependency_is_pinned_for_the_tests() -> None:
    """What users may have in many versions the tests run on in one."""
    pinned = _pinned("requirements.txt") | _pinned("requirements-dev.txt")
    extras = PROJECT["optional-dependencies"]

    assert set(_names(PROJECT["dependencies"])) <= set(pinned)
    assert set(_names(extras["train"])) <= set(pinned)
    assert set(_names(extras["dev"])) == set(_pinned("requirements-dev.txt")), "the extra dev names what is pinned"
