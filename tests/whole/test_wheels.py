"""Runtimes by dataset: wheels with their hashes, installed offline by the kernel in bounded time, or done without."""

import importlib.util
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile

import numpy as np
import pytest
from conftest import RecipeMaker
from onnx_graphs import tagger
from started_runs import table
from test_onnx_runs import SAME, SMALL, TABLE, by_hand, without_runtimes

from soundpost.contest.submission import check, read_sample
from soundpost.ensemble.attached import Attached
from soundpost.ensemble.recipes import Wheel
from soundpost.ensemble.weights_file import sha256_of
from soundpost.errors import BundleError
from soundpost.importers.add import name_in_submission
from soundpost.importers.onnx_member import add_onnx
from soundpost.kernel import wheels as wheels_module
from soundpost.kernel.build import build
from soundpost.kernel.wheels import RUNTIMES, Downloaded, download
from soundpost.launch.wheels import install

SOURCE = Path(__file__).parents[2] / "src"
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
LABELS = ("Bark", "Rain", "Siren", "Tick-tock")


def wheel_of(
    package: str, folder: Path, files: dict[str, Path | bytes], version: str = "1.0", tag: str = "py3-none-any"
) -> Path:
    """A wheel of these files, whatever they are."""
    path = folder / f"{package}-{version}-{tag}.whl"
    folder.mkdir(parents=True, exist_ok=True)
    with ZipFile(path, "w", ZIP_STORED) as packed:
        for name, content in files.items():
            if isinstance(content, bytes):
                packed.writestr(name, content)
            else:
                packed.write(content, name)
        info = f"{package}-{version}.dist-info"
        packed.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
        packed.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")
        packed.writestr(f"{info}/RECORD", "")
    return path


def downloaded(path: Path, package: str, python: str = HERE) -> Downloaded:
    """As download would give it."""
    return Downloaded(Wheel(package, python, path.name, sha256_of(path), path.stat().st_size), path)


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Downloaded:
    """The ONNX Runtime of this environment as a wheel."""
    package = Path(importlib.util.find_spec("onnxruntime").origin).parent
    kept = (path for path in package.rglob("*") if path.is_file() and path.suffix in (".py", ".so", ".txt"))
    files: dict[str, Path | bytes] = {path.relative_to(package.parent).as_posix(): path for path in kept}
    return downloaded(wheel_of("onnxruntime", tmp_path_factory.mktemp("wheels"), files), "onnxruntime")


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """weights/ of two folds that are ONNX files."""
    files = []
    for number, scale in enumerate((SMALL, 2 * SMALL)):
        files.append(tmp_path / f"fold{number}.onnx")
        files[-1].write_bytes(tagger(scale))
    add_onnx(files, tmp_path / "weights", "theirs", TABLE, LABELS)
    name_in_submission(tmp_path / "weights", "theirs", alone=True)
    return tmp_path / "weights"


def run(
    kernel: Path,
    contest: Path,
    attached: Path,
    folder: Path,
    *options: str,
    python: str = sys.executable,
    path: str = "",
) -> subprocess.CompletedProcess[str]:
    """kernel.py in an empty folder, without the runtimes of this environment and without the checkout.

    Args:
        kernel: the file.
        contest: folder of test/ and sample_submission.csv.
        attached: what stands for Kaggle's input folder.
        folder: where it runs and writes.
        options: further ones.
        python: the interpreter.
        path: what comes first on its path.
    """
    (folder / "here").mkdir()
    command = [
        python,
        str(kernel),
        "--test-dir",
        str(contest / "test"),
        "--out",
        str(folder / "submission.csv"),
    ]
    command += ["--sample-submission", str(contest / "sample_submission.csv"), "--input-root", str(attached)]
    command += ["--device", "cpu", "--progress", "lines", *options]
    hidden = without_runtimes(folder)["PYTHONPATH"].split(os.pathsep)[0]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (path, hidden)))}
    return subprocess.run(command, cwd=folder / "here", env=environment, capture_output=True, text=True, timeout=300)


def attach(beside: dict[str, bytes | Path], folder: Path) -> Path:
    """The dataset as Kaggle mounts it."""
    mounted = folder / "input" / "soundpost-weights"
    mounted.mkdir(parents=True)
    for name, content in beside.items():
        (mounted / name).write_bytes(content if isinstance(content, bytes) else content.read_bytes())
    return folder / "input"


@pytest.mark.parametrize("apart", [(), ("theirs/0", "theirs/1")], ids=["inside", "by the dataset"])
def test_kernel_of_onnx_members_installs_its_runtime_offline_and_answers(
    theirs: Path, runtime: Downloaded, make_clips: Callable[..., Path], tmp_path: Path, apart: tuple[str, ...]
) -> None:
    """An image without any runtime, a dataset with the wheel: two folds without torch's code answer as numpy does."""
    contest = make_clips()
    kernel = build(SOURCE, theirs / "submission.toml", apart=apart, wheels=[runtime])
    (tmp_path / "kernel.py").write_text(kernel.text)
    attached = attach({**kernel.beside, **{file.file: file.source for file in kernel.apart}}, tmp_path)
    assert len(kernel.apart) == len(apart)

    done = run(tmp_path / "kernel.py", contest, attached, tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "onnxruntime installed from the attached dataset in" in done.stdout.splitlines()[1]
    assert check(tmp_path / "submission.csv", read_sample(contest / "sample_submission.csv", LABELS)) == []
    assert "soundpost/inference/backends/onnx_runtime.py" in kernel.text
    assert "soundpost/models/compact.py" not in kernel.text, "the code of a torch network came along"
    np.testing.assert_allclose(table(tmp_path / "submission.csv"), by_hand(contest), rtol=0, atol=SAME)


def test_kernel_whose_wheel_was_altered_goes_on_with_torch_and_says_so_first(
    make_assets: RecipeMaker, runtime: Downloaded, make_clips: Callable[..., Path], tmp_path: Path
) -> None:
    """What is not the kernel's own wheel is never installed; torch answers every clip."""
    kernel = build(SOURCE, make_assets() / "submission.toml", wheels=[runtime])
    (tmp_path / "kernel.py").write_text(kernel.text)
    attached = attach(dict(kernel.beside), tmp_path)
    file = next(attached.rglob("*.whl"))
    file.write_bytes(file.read_bytes()[:-1] + b"!")

    done = run(tmp_path / "kernel.py", make_clips(), attached, tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "onnxruntime not installed: " in done.stdout.splitlines()[1]
    assert "was altered" in done.stdout.splitlines()[1]
    assert done.stdout.splitlines()[1].endswith("Networks are computed by torch.")
    assert "12 of 12 clips predicted" in done.stdout


def test_kernel_with_a_runtime_carries_graphs_of_the_very_weights_that_it_packs(
    make_assets: RecipeMaker, runtime: Downloaded, make_clips: Callable[..., Path], tmp_path: Path
) -> None:
    """Packed weights are rounded, and so is the graph: the runtime's answers are torch's to 0.0001."""
    contest = make_clips()
    kernel = build(SOURCE, make_assets() / "submission.toml", wheels=[runtime])
    (tmp_path / "kernel.py").write_text(kernel.text)
    attached = attach(dict(kernel.beside), tmp_path)
    tables = []
    for backend in ("torch", "onnxruntime"):
        folder = tmp_path / backend
        folder.mkdir()
        done = run(tmp_path / "kernel.py", contest, attached, folder, "--backend", backend, "--precision", "float32")
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.count("onnxruntime taken in place of torch") == (0 if backend == "torch" else 3)
        tables.append(table(folder / "submission.csv"))

    assert sorted(name for name in kernel.beside if name.endswith(".onnx")) == [f"tiny0-{n}.onnx" for n in (1, 2, 3)]
    np.testing.assert_allclose(tables[1], tables[0], rtol=0, atol=1e-4)


def test_graphs_of_the_dataset_that_were_altered_cost_themselves_by_name(
    theirs: Path, make_assets: RecipeMaker, runtime: Downloaded, make_clips: Callable[..., Path], tmp_path: Path
) -> None:
    """A member that is an ONNX file is left out; a torch member whose graph is damaged is computed by torch."""
    contest, both = make_clips(), make_assets({"folds": 1}, folder="both")
    (theirs / "theirs").rename(both / "theirs")
    name_in_submission(both, "theirs", alone=False)
    kernel = build(SOURCE, both / "submission.toml", apart=("theirs/0", "theirs/1"), wheels=[runtime])
    (tmp_path / "kernel.py").write_text(kernel.text)
    attached = attach({**kernel.beside, **{file.file: file.source.read_bytes() for file in kernel.apart}}, tmp_path)
    tables = {}
    for case, files in (("whole", ()), ("damaged", ("theirs-0.onnx", "tiny0-1.onnx"))):
        for name in files:
            file = next(attached.rglob(name))
            content = bytearray(file.read_bytes())
            content[len(content) // 2] ^= 1
            file.write_bytes(content)
        (tmp_path / case).mkdir()
        options = ("--precision", "float32", *(("--members", "theirs/1,tiny0/1") if case == "whole" else ()))
        done = run(tmp_path / "kernel.py", contest, attached, tmp_path / case, *options)
        assert done.returncode == 0, done.stdout + done.stderr
        tables[case] = table(tmp_path / case / "submission.csv")

    assert re.search(r"member skipped: theirs/0: .*theirs-0\.onnx.*altered", done.stdout), done.stdout
    assert re.search(r"tiny0/1: torch alone computes it: .*tiny0-1\.onnx.*altered", done.stdout), done.stdout
    assert "12 of 12 clips predicted" in done.stdout
    np.testing.assert_allclose(tables["damaged"], tables["whole"], rtol=0, atol=1e-4)


def test_wheels_for_other_pythons_are_left_alone_and_named(tmp_path: Path) -> None:
    """An image that moved on is not given what it cannot load."""
    said: list[str] = []
    wheel = Wheel("onnxruntime", "2.7", "a.whl", "0" * 64, 10)

    folder = install([wheel], Attached(tmp_path, [wheel], ""), tmp_path, 600.0, lambda: False, said.append)

    assert folder == ""
    assert said == [f"runtimes are attached for Python 2.7, and this is {HERE}; networks are computed by torch"]


def test_installation_that_hangs_is_ended_in_bounded_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of the run's time at most; then the run goes on."""
    stuck = tmp_path / "python"
    stuck.write_text("#!/bin/sh\nexec sleep 100\n")
    stuck.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(stuck))
    path = wheel_of("onnxruntime", tmp_path / "input", {"onnxruntime/__init__.py": b""})
    wheel, said = downloaded(path, "onnxruntime").wheel, []
    began = time.monotonic()

    folder = install([wheel], Attached(tmp_path, [wheel], ""), tmp_path, 10.0, lambda: False, said.append)

    assert folder == ""
    assert time.monotonic() - began < 10
    assert said == [
        "onnxruntime not installed: pip was ended after 1 s, or by a signal. Networks are computed by torch."
    ]


def test_wheel_that_pip_refuses_is_told_with_pip_s_words(tmp_path: Path) -> None:
    """A file that is no wheel costs a line in the log."""
    said: list[str] = []
    (tmp_path / "onnxruntime-1.0-py3-none-any.whl").write_bytes(b"no wheel")
    wheel = downloaded(tmp_path / "onnxruntime-1.0-py3-none-any.whl", "onnxruntime").wheel

    folder = install([wheel], Attached(tmp_path, [wheel], ""), tmp_path, 600.0, lambda: False, said.append)

    assert folder == ""
    assert said[0].startswith("onnxruntime not installed: pip ended with status 1 (")
    assert said[0].endswith("Networks are computed by torch.")


def test_download_gives_a_wheel_for_each_python_with_its_sha256(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pip picks the wheel of another Python than its own, from any index; here from a folder."""
    version = RUNTIMES["onnxruntime"]
    for tag in ("cp312-cp312-manylinux_2_27_x86_64.manylinux_2_28_x86_64", "cp313-cp313-manylinux_2_28_x86_64"):
        wheel_of("onnxruntime", tmp_path / "index", {"onnxruntime/__init__.py": tag.encode()}, version, tag)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))

    found = download(["onnxruntime"], tmp_path / "wheels")

    assert [file.wheel.python for file in found] == ["3.12", "3.13"]
    assert all(file.path.parent == tmp_path / "wheels" for file in found)
    assert all(sha256_of(file.path) == file.wheel.sha256 for file in found)
    monkeypatch.setattr(wheels_module.subprocess, "run", lambda *_, **__: pytest.fail("it asked again"))
    assert download(["onnxruntime"], tmp_path / "wheels") == found


def test_download_of_what_there_is_not_is_refused_with_a_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that is no runtime, and an index that cannot be reached."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")

    with pytest.raises(BundleError, match=r"--with tensorrt: not known; known: onnxruntime, openvino"):
        download(["tensorrt"], tmp_path)
    with pytest.raises(BundleError, match=r"no wheel of 1\.32\.0 for Python 3\.12 .* lay the wheel into"):
        download(["onnxruntime"], tmp_path)
