"""Which modules a kernel carries, and which it refuses: soundpost/kernel/dependencies.py."""

from pathlib import Path

import pytest
from stand_in import REAL, build_kit

from soundpost.errors import BundleError
from soundpost.kernel.dependencies import collect, registered

UNASKED = {"soundpost/launch/requirements.py", "soundpost/registry.py"}  # by main, or by what it asks for


def test_collect_takes_imports_names_and_packages_and_nothing_else(kit: Path) -> None:
    """A kernel carries the closure of its entries, so a module nobody needs costs no bytes."""
    (kit / "src" / "soundpost" / "unneeded.py").write_text("import scipy\n")

    modules = collect(kit / "src", ["soundpost.launch.main", "soundpost.models.small"])

    stand_ins = ("launch/engine_process", "launch/main", "models/__init__", "models/small")
    assert list(modules) == sorted({*REAL, *(f"soundpost/{name}.py" for name in stand_ins)} - UNASKED)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("import scipy.signal", "imports scipy.signal, which is not among what a kernel may use"),
        ("def f():\n    from torchaudio import load", "imports torchaudio"),
        ("import audioop", "imports audioop"),
        ("from soundpost import training", "soundpost.training is never bundled"),
        ("from soundpost.training.train import Campaign", "soundpost.training.train is never bundled"),
        ("from ..kernel import pack", "soundpost.kernel.pack is never bundled"),
        ("from soundpost.nowhere import x", "module soundpost.nowhere is not in"),
    ],
)
def test_build_stray_import_breaks_the_build_with_file_and_line(kit: Path, line: str, words: str) -> None:
    """What Kaggle's image does not have, or a kernel never carries, is found here and not there."""
    package = kit / "src" / "soundpost"
    (package / "training").mkdir()
    (package / "training" / "__init__.py").touch()
    (package / "training" / "train.py").touch()
    (package / "kernel").mkdir()
    (package / "kernel" / "__init__.py").touch()
    (package / "kernel" / "pack.py").touch()
    (package / "launch" / "engine_process.py").write_text(f'"""Engine."""\n\n{line}\n')

    with pytest.raises(BundleError, match=rf"engine_process.py:[34]: .*{words}"):
        build_kit(kit)


def test_build_import_for_types_only_is_no_import(kit: Path) -> None:
    """What only a type checker reads is not carried."""
    (kit / "src" / "soundpost" / "launch" / "engine_process.py").write_text(
        "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    import scipy\n"
    )

    assert "soundpost/launch/engine_process.py" in build_kit(kit).text


def test_registered_unknown_name_lists_the_known_ones(kit: Path) -> None:
    """A recipe's typing error is found when the kernel is built."""
    with pytest.raises(BundleError, match=r"asks for large of models; known: other, small"):
        registered(kit / "src", "models", ["large"])
