"""Wheels of runtimes for the Pythons of Kaggle's images, downloaded for a dataset, with their hashes. Never bundled."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from soundpost.ensemble.recipes import Wheel
from soundpost.ensemble.weights_file import sha256_of
from soundpost.errors import BundleError

RUNTIMES = {"onnxruntime": "1.32.0", "openvino": "2026.4.1"}  # versions that the tests run on
PYTHONS = ("3.12", "3.13")  # Kaggle's image, and the coming one
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux2014_x86_64")
SHOWN = 300  # characters of what pip says


@dataclass(frozen=True)
class Downloaded:
    """A wheel and where it lies."""

    wheel: Wheel
    path: Path


def download(names: Sequence[str], folder: Path, pythons: Sequence[str] = PYTHONS) -> tuple[Downloaded, ...]:
    """One wheel for each runtime and each Python; those that are there already are taken as they are.

    Args:
        names: runtimes.
        folder: where they are kept.
        pythons: versions, such as "3.12".

    Raises:
        BundleError: a runtime that is not known, or one that pip cannot get.
    """
    if strange := sorted(set(names) - set(RUNTIMES)):
        raise BundleError(f"--with {', '.join(strange)}: not known; known: {', '.join(RUNTIMES)}. Correct it.")
    folder.mkdir(parents=True, exist_ok=True)
    return tuple(_wheel(name, python, folder) for name in names for python in pythons)


def _wheel(name: str, python: str, folder: Path) -> Downloaded:
    version = RUNTIMES[name]
    pattern = f"{name}-{version}-*cp{python.replace('.', '')}-*.whl"
    found = sorted(folder.glob(pattern))
    if not found:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary=:all:", "--python-version", python, "--implementation", "cp"]
        command += [word for platform in PLATFORMS for word in ("--platform", platform)]
        done = subprocess.run(
            [*command, "--dest", str(folder), f"{name}=={version}"], capture_output=True, text=True, check=False
        )
        found = sorted(folder.glob(pattern))
        if done.returncode or not found:
            said = " ".join(done.stderr.split())[-SHOWN:]
            raise BundleError(
                f"--with {name}: no wheel of {version} for Python {python} ({said or 'pip says nothing'}). Build with "
                f"a network, or lay the wheel into {folder}."
            )
    path = found[-1]
    return Downloaded(Wheel(name, python, path.name, sha256_of(path), path.stat().st_size), path)


if __name__ == "__main__":
    for found in download(tuple(RUNTIMES), Path(sys.argv[1])):
        print(f"{found.path}, sha256 {found.wheel.sha256}")
