"""kernel.py: what goes into it, how large it may be, and that it runs wherever it is put, shown on a stand-in kit."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from safetensors.numpy import save_file

from soundpost.errors import BundleError, SettingsError
from soundpost.kernel.build import build
from soundpost.kernel.dependencies import collect, registered
from soundpost.kernel.render import LIMIT_BYTES, Kernel, check_size, notebook, sent_bytes, write

ROOT = Path(__file__).resolve().parents[2]
# The kit's own modules that a kernel cannot do without; main, engine and the families are stand-ins.
REAL = (
    "__init__",
    "arguments",
    "ensemble/__init__",
    "ensemble/attached",
    "ensemble/pack_format",
    "ensemble/recipes",
    "ensemble/weights_file",
    "ensemble/weights_folder",
    "errors",
    "launch/__init__",
    "launch/loader",
    "launch/requirements",
    "registry",
)
MAIN = '''"""Runs the engine in a child and writes what it answers beside what main was given."""

import json
import os
import subprocess
import sys
from pathlib import Path

import soundpost
from soundpost.arguments import own_arguments


def main(argv, settings):
    """Status 0, or what the option --status says; any other option is an error that was not foreseen."""
    given = own_arguments() if argv is None else argv
    if given and given[0] == "--status":
        return int(given[1])
    if given:
        raise ValueError(f"stand-in does not know {given}")
    source = Path(soundpost.__file__).parent.parent
    command = [sys.executable, "-m", "soundpost.launch.engine_process"]
    child = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(source)}, capture_output=True, text=True)
    print(child.stderr, file=sys.stderr)
    answer = {"sum": json.loads(child.stdout), "settings": settings, "source": str(source)}
    answer["mode"] = oct(source.stat().st_mode & 0o777)
    Path(os.environ["ANSWER"]).write_text(json.dumps(answer))
    return child.returncode
'''
ENGINE = '''"""Adds up what every member's arrays sum to."""

from soundpost.ensemble.weights_folder import default_root, find_assets

if __name__ == "__main__":
    assets = find_assets(default_root())
    print(sum(float(assets.arrays(m)["w"].sum()) for r in assets.submission.recipes for m in r.members))
'''


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    """A checkout with the real loader and readers, stand-ins for the rest, and one recipe of two members."""
    package = tmp_path / "kit" / "src" / "soundpost"
    package.mkdir(parents=True)
    for name in REAL:
        (package / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / "src" / "soundpost" / f"{name}.py", package / f"{name}.py")
    (package / "launch" / "main.py").write_text(MAIN)
    (package / "launch" / "engine_process.py").write_text(ENGINE)
    for folder, entry in (("models", "small"), ("front_ends", "small"), ("views", "whole")):
        (package / folder).mkdir()
        (package / folder / "__init__.py").write_text(
            f'{folder.upper()}: dict[str, str] = {{"{entry}": "soundpost.{folder}.{entry}:X", "other": "scipy:X"}}\n'
        )
        (package / folder / f"{entry}.py").write_text('"""Stand-in."""\n\nimport numpy as np\n\nX = np.float32\n')
    weights = tmp_path / "kit" / "weights"
    (weights / "tiny").mkdir(parents=True)
    (weights / "submission.toml").write_text('format = 1\nrecipes = ["tiny"]\n')
    recipe = 'format = 1\nname = "tiny"\nlabels = ["Rain"]\nfront_end = {name = "small"}\nmodel = {name = "small"}\n'
    for fold in (1, 2):
        path = weights / "tiny" / f"fold{fold}.safetensors"
        save_file({"w": np.full(3, fold, np.float32)}, path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        recipe += f'[[members]]\nfold = "{fold}"\nfile = "{path.name}"\nsha256 = "{digest}"\n'
    (weights / "tiny" / "recipe.toml").write_text(recipe)
    return tmp_path / "kit"


def _build(kit: Path, *members: str) -> Kernel:
    return build(kit / "src", kit / "weights" / "submission.toml", members)


def _run(kernel: str, folder: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """kernel.py alone in a new folder, in a Python that does not know the checkout; answer.json comes beside it."""
    folder.mkdir()
    (folder / "kernel.py").write_text(kernel)
    temporary = folder.with_name(f"{folder.name}-temporary")
    temporary.mkdir()
    known = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "TMPDIR")}
    known |= {"TMPDIR": str(temporary), "ANSWER": str(folder.with_name("answer.json")), **environment}
    command = [sys.executable, str(folder / "kernel.py"), *options]
    result = subprocess.run(command, cwd=temporary, env=known, capture_output=True, text=True, check=False)
    assert list(temporary.glob("soundpost-*")) == [], "the unpacked folder was left behind"
    return result


def test_collect_takes_imports_names_and_packages_and_nothing_else(kit: Path) -> None:
    """A kernel carries the closure of its entries, so a module nobody needs costs no bytes."""
    (kit / "src" / "soundpost" / "unneeded.py").write_text("import scipy\n")

    modules = collect(kit / "src", ["soundpost.launch.main", "soundpost.models.small"])

    expected = (
        "__init__",
        "assets",
        "attached",
        "engine",
        "errors",
        "main",
        "models/__init__",
        "models/small",
        "pack_format",
    )
    assert list(modules) == [f"soundpost/{name}.py" for name in (*expected, "recipes", "weights")]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("import scipy.signal", "imports scipy.signal, which is not among what a kernel may use"),
        ("def f():\n    from torchaudio import load", "imports torchaudio"),
        ("import audioop", "imports audioop"),
        ("from soundpost import training", "soundpost.training is never bundled"),
        ("from soundpost.training.fit import main", "soundpost.training.fit is never bundled"),
        ("from ..kernel import pack", "soundpost.kernel is never bundled"),
        ("from soundpost.nowhere import x", "module soundpost.nowhere is not in"),
    ],
)
def test_build_stray_import_breaks_the_build_with_file_and_line(kit: Path, line: str, words: str) -> None:
    """What Kaggle's image does not have, or a kernel never carries, is found here and not there."""
    package = kit / "src" / "soundpost"
    (package / "training").mkdir()
    (package / "training" / "__init__.py").touch()
    (package / "training" / "fit.py").touch()
    (package / "kernel").mkdir()
    (package / "kernel" / "__init__.py").touch()
    (package / "kernel" / "pack.py").touch()
    (package / "launch" / "engine_process.py").write_text(f'"""Engine."""\n\n{line}\n')

    with pytest.raises(BundleError, match=rf"engine_process.py:[34]: .*{words}"):
        _build(kit)


def test_build_import_for_types_only_is_no_import(kit: Path) -> None:
    """What only a type checker reads is not carried."""
    (kit / "src" / "soundpost" / "launch" / "engine_process.py").write_text(
        "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    import scipy\n"
    )

    assert "soundpost/launch/engine_process.py" in _build(kit).text


def test_registered_unknown_name_lists_the_known_ones(kit: Path) -> None:
    """A recipe's typing error is found when the kernel is built."""
    with pytest.raises(BundleError, match=r"asks for large of models; known: other, small"):
        registered(kit / "src", "models", ["large"])


def test_build_twice_gives_the_same_bytes(kit: Path, tmp_path: Path) -> None:
    """Neither the clock, the folder nor the order of files enters."""
    shutil.copytree(kit, tmp_path / "elsewhere")

    assert _build(kit).text == _build(tmp_path / "elsewhere").text


def test_build_parts_sum_to_the_whole(kit: Path) -> None:
    """The size table hides nothing."""
    kernel = _build(kit)

    assert sum(kernel.parts.values()) == kernel.size
    assert {"tiny/1", "tiny/2", "recipes"} < set(kernel.parts)
    assert kernel.table().splitlines()[-2].split() == ["total", f"{kernel.size:,}"]


def test_build_first_line_says_generated_and_by_what(kit: Path) -> None:
    """Who opens the file learns at once where to change it."""
    first, second, *_ = _build(kit).text.splitlines()

    assert first.startswith("# GENERATED by `python build_kernel.py`: ")
    assert second.startswith('"""Soundpost in one file')


def test_build_source_stands_readable_in_the_kernel(kit: Path) -> None:
    """Source is carried as it is written, line for line."""
    assert ENGINE in _build(kit).text


def test_build_named_members_only_are_carried(kit: Path, tmp_path: Path) -> None:
    """--members drops weights and their lines in the recipe alike, so that nobody misses them later."""
    kernel = _build(kit, "tiny/2")

    result = _run(kernel.text, tmp_path / "alone")

    assert result.returncode == 0, result.stderr
    assert kernel.members == ("tiny/2",)
    assert json.loads((tmp_path / "answer.json").read_text())["sum"] == 6.0


def test_build_unknown_member_lists_the_known_ones(kit: Path) -> None:
    """A typing error in --members is named."""
    with pytest.raises(BundleError, match=r"no members tiny/3; known: tiny/1, tiny/2. Correct --members"):
        _build(kit, "tiny/3")


def test_build_widths_of_another_network_are_refused(kit: Path) -> None:
    """Bit widths measured before the network changed are not used half."""
    (kit / "weights" / "tiny" / "packing.toml").write_text('[bits]\n"gone.weight" = 5\n')

    with pytest.raises(BundleError, match=r"packing.toml has bit widths for gone.weight, which tiny/1 lacks"):
        _build(kit)


def test_build_without_submission_says_where_it_looked(kit: Path) -> None:
    """No weights yet is the first thing a newcomer meets."""
    (kit / "weights" / "submission.toml").unlink()

    with pytest.raises(SettingsError, match=r"weights/submission.toml is not there"):
        _build(kit)


def test_write_triple_quotes_in_source_are_refused() -> None:
    """A text that a raw string cannot hold breaks the build, with its path."""
    loader = 'BUILD = ""\n\nif __name__ == "__main__":\n    launch()\n'

    with pytest.raises(BundleError, match=r"soundpost/a.py: holds '''"):
        write(loader, {"soundpost/a.py": "x = '''y'''\n"}, {}, {}, "python build_kernel.py")


def test_check_size_too_large_names_members_to_leave_out() -> None:
    """The refusal says how much is too much, which part is largest, and a command that gives a kernel that fits."""
    kernel = Kernel(
        "", {"source, 9 modules": 100_000, "a/1": 400_000, "a/2": 450_000, "a/3": 450_000}, ("a/1", "a/2", "a/3")
    )

    with pytest.raises(
        BundleError,
        match=r"1,400,000 bytes, 400,001 more .*the largest part is a/2, 450,000 bytes.*"
        r"--members a/1,a/2 \(950,000 bytes\), or send the weights by a dataset",
    ):
        check_size(kernel, 1_400_000)


def test_check_size_one_member_too_large_leaves_the_dataset() -> None:
    """Where not even one member fits, no useless advice is given."""
    with pytest.raises(BundleError, match=r"no member fits beside the source, or send the weights by a dataset"):
        check_size(Kernel("", {"source, 9 modules": 100_000, "a/1": 2_000_000}, ("a/1",)), 2_100_000)


def test_check_size_just_under_the_limit_passes() -> None:
    """The limit itself is one byte too many."""
    kernel = Kernel("", {"a/1": LIMIT_BYTES}, ("a/1",))

    check_size(kernel, LIMIT_BYTES - 1)
    with pytest.raises(BundleError, match="1 more than Kaggle takes"):
        check_size(kernel, LIMIT_BYTES)


def test_kernel_alone_in_an_empty_folder_runs_with_its_weights(kit: Path, tmp_path: Path) -> None:
    """Neither checkout nor installed package is needed: child, recipes and packs come out of the one file."""
    result = _run(_build(kit).text, tmp_path / "alone")

    assert result.returncode == 0, result.stderr
    answer = json.loads((tmp_path / "answer.json").read_text())
    assert answer["sum"] == 9.0
    assert "test-dir" in answer["settings"]
    assert Path(answer["source"]).name.startswith("soundpost-")


def test_kernel_from_a_read_only_folder_runs(kit: Path, tmp_path: Path) -> None:
    """Nothing is written beside the file."""
    kernel = _build(kit).text
    folder = tmp_path / "locked"

    result = _run(f"import os\nos.chmod(os.path.dirname(__file__), 0o555)\n{kernel}", folder)

    folder.chmod(0o755)
    assert result.returncode == 0, result.stderr
    assert [path.name for path in folder.iterdir()] == ["kernel.py"]


def test_kernel_status_of_main_is_its_own(kit: Path, tmp_path: Path) -> None:
    """A run that went wrong is seen from outside."""
    assert _run(_build(kit).text, tmp_path / "alone", "--status", "3").returncode == 3


def test_kernel_traceback_shows_true_names_lines_and_source(kit: Path, tmp_path: Path) -> None:
    """A stranger's log leads to the line in the repository, though the unpacked file is gone by then."""
    line = MAIN.splitlines().index('        raise ValueError(f"stand-in does not know {given}")') + 1

    result = _run(_build(kit).text, tmp_path / "alone", "--odd")

    assert result.returncode == 1
    assert f'/soundpost/launch/main.py", line {line}, in main\n    raise ValueError(' in result.stderr


def test_kernel_changed_source_is_refused_unless_its_hash_is_dropped(kit: Path, tmp_path: Path) -> None:
    """A kernel that is not what was built says so, and how to run the change on purpose."""
    changed = _build(kit).text.replace("Status 0, or what", "Status 0 or what")
    allowed = "".join(
        line for line in changed.splitlines(True) if not line.startswith('HASHES["soundpost/launch/main.py"]')
    )

    refused = _run(changed, tmp_path / "refused")

    assert refused.returncode == 1
    assert "changed since kernel.py was built: soundpost/launch/main.py. Build it again" in refused.stderr
    assert _run(allowed, tmp_path / "allowed").returncode == 0


@pytest.mark.parametrize("damage", ["~", "\t'"])
def test_kernel_damaged_weights_are_found_by_their_hash(kit: Path, tmp_path: Path, damage: str) -> None:
    """A pack that was cut or changed, legible or not, is refused by name."""
    head, mark, tail = _build(kit).text.partition("fold2.pack\"] = r'''\n")

    result = _run(head + mark + damage + tail[1:], tmp_path / "alone")

    assert result.returncode != 0
    assert "member tiny/2" in result.stderr
    assert "has sha256" in result.stderr


def _execute(kernel: Kernel, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    monkeypatch.setenv("ANSWER", str(folder / "answer.json"))
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    cells = nbformat.from_dict(notebook(kernel, "# Title"))
    nbformat.validate(cells)
    NotebookClient(cells, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()


def test_kernel_in_a_notebook_cell_runs(kit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pasted in a cell there is no __file__, argv is the notebook's, and the end is no SystemExit."""
    _execute(_build(kit), tmp_path / "cell", monkeypatch)

    assert json.loads((tmp_path / "cell" / "answer.json").read_text())["sum"] == 9.0
    assert list((tmp_path / "cell").glob("soundpost-*")) == []


def test_kernel_in_a_notebook_cell_fails_loudly(kit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A status other than 0 stops the notebook, so that Kaggle marks the run as failed."""
    engine = kit / "src" / "soundpost" / "launch" / "engine_process.py"
    engine.write_text('if __name__ == "__main__":\n    print(0)\n    raise SystemExit(4)\n')

    with pytest.raises(CellExecutionError, match="Soundpost ended with status 4"):
        _execute(_build(kit), tmp_path / "cell", monkeypatch)


def test_notebook_bytes_are_those_that_the_client_sends(kit: Path) -> None:
    """The client joins sources and dumps compactly; every quote and line end costs a byte more than in kernel.py."""
    kernel = _build(kit)
    cells = notebook(kernel, "# Title")

    assert sent_bytes(cells) == len(json.dumps(cells))
    assert sent_bytes(cells) > kernel.size


@pytest.fixture
def command(kit: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """build_kernel.py in the stand-in checkout."""
    (kit / "src" / "soundpost" / "kernel").mkdir()
    names = ("__init__", "build", "dependencies", "docstrings", "metadata", "pack", "placement", "render", "squant")
    for name in ("ensemble/blend", *(f"kernel/{name}" for name in names)):
        shutil.copy(ROOT / "src" / "soundpost" / f"{name}.py", kit / "src" / "soundpost" / f"{name}.py")
    shutil.copy(ROOT / "build_kernel.py", kit)

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        arguments = [sys.executable, str(kit / "build_kernel.py"), *options]
        return subprocess.run(arguments, capture_output=True, text=True, check=False)

    return run


def test_build_kernel_writes_then_check_passes(kit: Path, command: Callable) -> None:
    """What was built just now is up to date."""
    built = command()

    assert built.returncode == 0, built.stderr
    assert "limit" in built.stdout
    assert command("--check").returncode == 0


def test_build_kernel_check_after_a_change_names_the_command(kit: Path, command: Callable) -> None:
    """A kernel older than its source is found, and the way to renew it is said."""
    command("--members", "tiny/1")
    (kit / "src" / "soundpost" / "launch" / "engine_process.py").write_text("# changed\n")

    result = command("--check", "--members", "tiny/1")

    assert result.returncode == 1
    assert "differs from its parts. Run: python build_kernel.py --members tiny/1" in result.stderr


def test_build_kernel_check_without_kernel_says_so(command: Callable) -> None:
    """A kernel that was never built is not up to date."""
    result = command("--check")

    assert result.returncode == 1
    assert "is not there. Run: python build_kernel.py" in result.stderr


def test_build_kernel_notebook_holds_the_same_code(kit: Path, command: Callable) -> None:
    """One header, one cell, the same text."""
    assert command("--notebook").returncode == 0

    cells = nbformat.read(kit / "kernel.ipynb", as_version=4).cells
    assert [cell.cell_type for cell in cells] == ["markdown", "code"]
    assert cells[1].source == (kit / "kernel.py").read_text()


def test_build_kernel_too_large_is_refused_and_not_written(kit: Path, command: Callable) -> None:
    """A kernel that Kaggle would refuse never comes to be."""
    (kit / "src" / "soundpost" / "launch" / "engine_process.py").write_text(f"# {'x' * LIMIT_BYTES}\n")

    result = command()

    assert result.returncode == 1
    assert "more than Kaggle takes" in result.stderr
    assert not (kit / "kernel.py").exists()


def test_kernel_without_a_package_says_so_in_one_line(kit: Path, tmp_path: Path) -> None:
    """Where something is not installed, its name is the answer and no traceback, with the status of a refusal."""
    kernel = _build(kit).text.replace(
        "OLDEST: dict[str, str] = {\n", 'OLDEST: dict[str, str] = {\n    "no-such": "1.0",\n'
    )
    allowed = "".join(
        x for x in kernel.splitlines(True) if not x.startswith('HASHES["soundpost/launch/requirements.py"]')
    )

    result = _run(allowed, tmp_path / "alone")

    assert result.returncode == 2
    assert result.stdout.startswith("error: not installed: no-such >= 1.0. Install it")
    assert result.stderr == ""
