"""A kernel runs wherever it is put, and is refused when it was changed, shown on a stand-in kit."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from stand_in import ENGINE, MAIN, build_kit, run_alone

from soundpost.kernel.render import Kernel, notebook


def test_kernel_alone_in_an_empty_folder_runs_with_its_weights(kit: Path, tmp_path: Path) -> None:
    """Neither checkout nor installed package is needed: child, recipes and packs come out of the one file."""
    result = run_alone(build_kit(kit).text, tmp_path / "alone")

    assert result.returncode == 0, result.stderr
    answer = json.loads((tmp_path / "answer.json").read_text())
    assert answer["sum"] == 9.0
    assert "test-dir" in answer["settings"]
    assert Path(answer["source"]).name.startswith("soundpost-")


def test_kernel_from_a_read_only_folder_runs(kit: Path, tmp_path: Path) -> None:
    """Nothing is written beside the file."""
    kernel = build_kit(kit).text
    folder = tmp_path / "locked"

    result = run_alone(f"import os\nos.chmod(os.path.dirname(__file__), 0o555)\n{kernel}", folder)

    folder.chmod(0o755)
    assert result.returncode == 0, result.stderr
    assert [path.name for path in folder.iterdir()] == ["kernel.py"]


def test_kernel_status_of_main_is_its_own(kit: Path, tmp_path: Path) -> None:
    """A run that went wrong is seen from outside."""
    assert run_alone(build_kit(kit).text, tmp_path / "alone", "--status", "3").returncode == 3


def test_kernel_traceback_shows_true_names_lines_and_source(kit: Path, tmp_path: Path) -> None:
    """A stranger's log leads to the line in the repository, though the unpacked file is gone by then."""
    line = MAIN.splitlines().index('        raise ValueError(f"stand-in does not know {given}")') + 1

    result = run_alone(build_kit(kit).text, tmp_path / "alone", "--odd")

    assert result.returncode == 1
    assert f'/soundpost/launch/main.py", line {line}, in main\n    raise ValueError(' in result.stderr


def test_kernel_unpacked_folder_is_private(kit: Path, tmp_path: Path) -> None:
    """Nobody else on the machine can change what is about to be imported."""
    assert run_alone(build_kit(kit).text, tmp_path / "alone").returncode == 0
    assert json.loads((tmp_path / "answer.json").read_text())["mode"] == "0o700"


@pytest.mark.parametrize("change", ["a character", "the end", "no base85"])
def test_kernel_changed_block_is_refused_with_what_to_do(kit: Path, tmp_path: Path, change: str) -> None:
    """Source that is not what was built never runs, and the message says how to run changed source on purpose."""
    head, mark, tail = build_kit(kit).text.partition("SOURCE = r'''\n")
    block, end, rest = tail.partition("\n'''")
    changed = {
        "a character": block[:-1] + ("1" if block[-1] == "0" else "0"),
        "the end": block[: len(block) // 2],
        "no base85": block[:100] + '"' + block[101:],
    }[change]

    result = run_alone(head + mark + changed + end + rest, tmp_path / "alone")

    assert result.returncode == 2
    assert result.stdout.startswith("error: the block of source was changed since this file was built")
    assert "Copy the whole file again, or build it again." in result.stdout
    assert "--unpack" in result.stdout
    assert result.stderr == ""
    assert not (tmp_path / "answer.json").exists()


def test_kernel_changed_recipe_is_refused_unless_its_hash_is_dropped(kit: Path, tmp_path: Path) -> None:
    """A kernel that is not what was built says so, and how to run the change on purpose."""
    changed = build_kit(kit).text.replace('fold = "2"', 'fold = "3"')
    path = "weights/tiny/recipe.toml"
    allowed = "".join(line for line in changed.splitlines(True) if not line.startswith(f'HASHES["{path}"]'))

    refused = run_alone(changed, tmp_path / "refused")

    assert refused.returncode == 2
    assert f"error: changed since this file was built: {path}. Build it again" in refused.stdout
    assert run_alone(allowed, tmp_path / "allowed").returncode == 0


def test_kernel_unpack_writes_what_runs_there(kit: Path, tmp_path: Path) -> None:
    """Source, recipes and weights lie as in the repository, so that a change can be tried without a build."""
    folder = tmp_path / "new" / "folder"

    written = run_alone(build_kit(kit).text, tmp_path / "alone", "--unpack", str(folder))
    answer = subprocess.run(
        [sys.executable, "-m", "soundpost.launch.engine_process"],
        cwd=folder,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert written.returncode == 0, written.stdout
    assert f"files are in {folder}" in written.stdout
    assert float(answer.stdout) == 9.0
    assert not (tmp_path / "answer.json").exists(), "nothing is run"


def test_kernel_unpack_into_a_folder_that_is_not_empty_is_refused(kit: Path, tmp_path: Path) -> None:
    """Nothing of the person's is mixed with it or replaced."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")

    result = run_alone(build_kit(kit).text, tmp_path / "alone", "--unpack", str(tmp_path / "mine"))

    assert result.returncode == 2
    assert "mine is not empty: it holds notes.txt. Name a folder that is empty or not there yet." in result.stdout
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_kernel_unpack_onto_a_file_is_refused(kit: Path, tmp_path: Path) -> None:
    """A file in the way is named and stays."""
    (tmp_path / "file").write_text("mine")

    result = run_alone(build_kit(kit).text, tmp_path / "alone", "--unpack", str(tmp_path / "file"))

    assert result.returncode == 2
    assert "files cannot be written there (File exists)" in result.stdout


def test_kernel_contents_lists_every_file_with_its_hash(kit: Path, tmp_path: Path) -> None:
    """What is in the block can be compared with the repository line by line."""
    result = run_alone(build_kit(kit).text, tmp_path / "alone", "--contents")

    rows = {words[-1]: words for words in map(str.split, result.stdout.splitlines())}
    data = (kit / "src" / "soundpost" / "launch" / "engine_process.py").read_bytes()
    expected = [str(ENGINE.count("\n")), f"{len(data):,}", hashlib.sha256(data).hexdigest()]
    assert result.returncode == 0
    assert rows["soundpost/launch/engine_process.py"][:3] == expected
    assert {"weights/submission.toml", "weights/tiny/recipe.toml", "weights/tiny/fold1.pack"} <= set(rows)


def test_kernel_contents_beside_another_option_is_refused(kit: Path, tmp_path: Path) -> None:
    """Who means to run something is not given a list instead."""
    result = run_alone(build_kit(kit).text, tmp_path / "alone", "--contents", "--out", "x.csv")

    assert result.returncode == 2
    assert "--contents and --unpack do not run anything, so --out x.csv says nothing to them" in result.stdout


@pytest.mark.parametrize(
    ("blocks", "words"),
    [(0, "no temporary folder can be made ("), (1, "files cannot be written there (File too large). Make room")],
)
def test_kernel_without_room_to_unpack_says_so_and_leaves_nothing(
    kit: Path, tmp_path: Path, blocks: int, words: str
) -> None:
    """Where files cannot be written the reason is one line, and no half folder stays behind."""
    script, temporary = tmp_path / "kernel.py", tmp_path / "temporary"
    script.write_text(build_kit(kit).text)
    temporary.mkdir()

    command = f"ulimit -f {blocks}; exec {sys.executable} -B {script}"
    environment = {**os.environ, "TMPDIR": str(temporary)}
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, env=environment)

    assert result.returncode == 2
    assert words in result.stdout
    assert result.stderr == ""
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("damage", ["~", "\t'"])
def test_kernel_damaged_weights_are_found_by_their_hash(kit: Path, tmp_path: Path, damage: str) -> None:
    """A pack that was cut or changed, legible or not, is refused by name."""
    head, mark, tail = build_kit(kit).text.partition("fold2.pack\"] = r'''\n")

    result = run_alone(head + mark + damage + tail[1:], tmp_path / "alone")

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
    _execute(build_kit(kit), tmp_path / "cell", monkeypatch)

    assert json.loads((tmp_path / "cell" / "answer.json").read_text())["sum"] == 9.0
    assert list((tmp_path / "cell").glob("soundpost-*")) == []


def test_kernel_in_a_notebook_cell_fails_loudly(kit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A status other than 0 stops the notebook, so that Kaggle marks the run as failed."""
    engine = kit / "src" / "soundpost" / "launch" / "engine_process.py"
    engine.write_text('if __name__ == "__main__":\n    print(0)\n    raise SystemExit(4)\n')

    with pytest.raises(CellExecutionError, match="Soundpost ended with status 4"):
        _execute(build_kit(kit), tmp_path / "cell", monkeypatch)


def test_kernel_without_a_package_says_so_in_one_line(kit: Path, tmp_path: Path) -> None:
    """Where something is not installed, its name is the answer and no traceback, with the status of a refusal."""
    wanted = kit / "src" / "soundpost" / "launch" / "requirements.py"
    wanted.write_text(wanted.read_text().replace("OLDEST: dict[str, str] = {\n", 'OLDEST = {\n    "no-such": "1.0",\n'))

    result = run_alone(build_kit(kit).text, tmp_path / "alone")

    assert result.returncode == 2
    assert result.stdout.startswith("error: not installed: no-such >= 1.0. Install it")
    assert result.stderr == ""
