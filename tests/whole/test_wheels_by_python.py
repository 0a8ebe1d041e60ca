"""The real wheels under the Pythons of Kaggle's image and of the coming one: installed offline, or done without."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from conftest import RecipeMaker
from onnx_graphs import tagger
from started_runs import table
from test_onnx_runs import SAME, SMALL, TABLE, by_hand
from test_wheels import LABELS, SOURCE, attach, run

from soundpost.contest.submission import check, read_sample
from soundpost.importers.add import name_in_submission
from soundpost.importers.onnx_member import add_onnx
from soundpost.kernel.build import build
from soundpost.kernel.wheels import PYTHONS, RUNTIMES, Downloaded, download

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
WHEELS = ROOT / "dist" / "wheels"  # where `build_kernel.py --with` and `make wheels` keep them
HOW = "run make wheels, where there is a network"
HANGING_PIP = "import time\ntime.sleep(600)\n"


def wheels_for(names: Sequence[str], versions: Sequence[str]) -> tuple[Downloaded, ...]:
    """Wheels that were downloaded before; nothing is asked of an index."""
    for name in names:
        for version in versions:
            if not list(WHEELS.glob(f"{name}-{RUNTIMES[name]}-*cp{version.replace('.', '')}-*.whl")):
                pytest.skip(f"no wheel of {name} for Python {version} in dist/wheels: {HOW}")
    return download(names, WHEELS, versions)


@pytest.fixture(params=PYTHONS)
def version(request: pytest.FixtureRequest) -> str:
    """A Python of the image, with the packages that a kernel needs."""
    if not (ROOT / f".venv-{request.param}" / "bin" / "python").exists():
        pytest.skip(f"no .venv-{request.param}: {HOW} and a python{request.param}")
    return request.param


def python(version: str) -> str:
    """Its interpreter."""
    return str(ROOT / f".venv-{version}" / "bin" / "python")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_kernel_installs_the_real_wheel_offline_and_answers_by_it(
    make_clips: Callable[..., Path], tmp_path: Path, version: str, runtime: str
) -> None:
    """The dataset has the wheels of both Pythons: the right one goes into the private folder, and answers as numpy."""
    contest, files = make_clips(), []
    for number, scale in enumerate((SMALL, 2 * SMALL)):
        files.append(tmp_path / f"fold{number}.onnx")
        files[-1].write_bytes(tagger(scale))
    weights = tmp_path / "weights"
    add_onnx(files, weights, "theirs", TABLE, LABELS)
    name_in_submission(weights, "theirs", alone=True)
    kernel = build(SOURCE, weights / "submission.toml", apart=(), wheels=wheels_for([runtime], PYTHONS))
    (tmp_path / "kernel.py").write_text(kernel.text)
    attached = attach(dict(kernel.beside), tmp_path)

    done = run(tmp_path / "kernel.py", contest, attached, tmp_path, python=python(version))

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{runtime} installed from the attached dataset in" in done.stdout.splitlines()[1]
    assert check(tmp_path / "submission.csv", read_sample(contest / "sample_submission.csv", LABELS)) == []
    np.testing.assert_allclose(table(tmp_path / "submission.csv"), by_hand(contest), rtol=0, atol=SAME)


@pytest.mark.parametrize("backend", ["auto", *RUNTIMES])
def test_torch_members_are_computed_by_the_runtime_of_the_dataset(
    make_assets: RecipeMaker, make_clips: Callable[..., Path], tmp_path: Path, version: str, backend: str
) -> None:
    """Both runtimes at once: auto measures both, a forced one answers, every answer within 0.0001 of torch's."""
    contest, wheels = make_clips(), wheels_for(tuple(RUNTIMES), [version])
    kernel = build(SOURCE, make_assets() / "submission.toml", wheels=wheels)
    (tmp_path / "kernel.py").write_text(kernel.text)
    attached = attach(dict(kernel.beside), tmp_path)
    tables = []
    for asked in ("torch", backend):
        folder = tmp_path / asked
        folder.mkdir()
        options = ("--backend", asked, "--precision", "float32")
        done = run(tmp_path / "kernel.py", contest, attached, folder, *options, python=python(version))
        assert done.returncode == 0, done.stdout + done.stderr
        is_installed = "onnxruntime, openvino installed from the attached dataset in" in done.stdout.splitlines()[1]
        assert is_installed == (asked != "torch"), done.stdout
        tables.append(table(folder / "submission.csv"))

    words = "openvino" if backend == "auto" else f"{backend} taken in place of torch"
    assert words in done.stdout.split("installed", 1)[1].split("\n", 1)[1], done.stdout
    np.testing.assert_allclose(tables[1], tables[0], rtol=0, atol=1e-4)


@pytest.mark.parametrize("trouble", ["damaged", "missing", "other Python", "pip hangs", "no pip"])
def test_trouble_with_the_real_wheel_costs_bounded_time_and_a_first_line(
    make_assets: RecipeMaker, make_clips: Callable[..., Path], tmp_path: Path, version: str, trouble: str
) -> None:
    """torch answers every clip, and the second line of the log says why."""
    others = [other for other in PYTHONS if other != version]
    wheels = wheels_for(["onnxruntime"], others if trouble == "other Python" else [version])
    kernel = build(SOURCE, make_assets() / "submission.toml", wheels=wheels)
    (tmp_path / "kernel.py").write_text(kernel.text)
    attached = attach(dict(kernel.beside), tmp_path)
    wheel = next(attached.rglob("*.whl"))
    if trouble == "damaged":
        content = bytearray(wheel.read_bytes())
        content[len(content) // 2] ^= 1
        wheel.write_bytes(content)
    elif trouble == "missing":
        wheel.unlink()
    elif trouble in ("pip hangs", "no pip"):
        (tmp_path / "first").mkdir()
        (tmp_path / "first" / "pip.py").write_text(HANGING_PIP if "hangs" in trouble else 'raise SystemExit("no pip")')

    path = str(tmp_path / "first")
    options = ("--time-limit", "200s")
    done = run(tmp_path / "kernel.py", make_clips(), attached, tmp_path, *options, python=python(version), path=path)

    words = {
        "damaged": "onnxruntime not installed: .*was altered.* Networks are computed by torch.",
        "missing": "onnxruntime not installed: .* Networks are computed by torch.",
        "other Python": f"runtimes are attached for Python {others[0]}, and this is {version}; networks are",
        "pip hangs": "onnxruntime not installed: pip was ended after 20 s, or by a signal. Networks are",
        "no pip": r"onnxruntime not installed: pip ended with status 1 \(no pip\). Networks are computed by torch.",
    }[trouble]
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.match(words, done.stdout.splitlines()[1]), done.stdout
    assert "12 of 12 clips predicted" in done.stdout
