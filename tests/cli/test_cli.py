"""The soundpost command: one door, one place for errors and exit statuses, and a page that tells of every option."""

import io
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from conftest import ClipMaker, RecipeMaker

from soundpost import cli
from soundpost.cli import COMMANDS, Command, main
from soundpost.errors import WeightsError

ROOT = Path(__file__).resolve().parents[2]


def test_command_alone_lists_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    """Asked for help it is done; without a word it is refused, and both print the same."""
    assert main(["--help"]) == 0
    asked = capsys.readouterr().out
    assert main([]) == 2
    assert capsys.readouterr().out == asked
    for name, entry in COMMANDS.items():
        assert f"  {name} " in asked
        assert entry.does in asked


def test_command_that_is_not_known_is_refused_with_those_that_are(capsys: pytest.CaptureFixture[str]) -> None:
    """A slip costs one look."""
    assert main(["runn"]) == 2
    assert "error: no command 'runn'; known: run, build, push" in capsys.readouterr().err


def test_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    """As pip knows it."""
    assert main(["--version"]) == 0
    version = (ROOT / "pyproject.toml").read_text("utf-8").partition('version = "')[2].partition('"')[0]
    assert capsys.readouterr().out == f"soundpost {version}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_tells_of_its_options(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Under its own name, and without doing anything."""
    with pytest.raises(SystemExit, match="0"):
        cli.command(name)(["--help"])

    assert capsys.readouterr().out.startswith(f"usage: soundpost {name} ")


def test_help_of_the_command_loads_nothing_heavy() -> None:
    """It answers at once; a command is imported when it is called."""
    code = (
        "import sys; from soundpost.cli import main; main(['--help']); "
        "print(sorted(set(sys.modules) & {'torch', 'numpy', 'pandas', 'librosa'}))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert printed.splitlines()[-1] == "[]"


def standing(monkeypatch: pytest.MonkeyPatch, ends: object) -> None:
    """Put a command in the table that ends as it is told."""

    def work(arguments: Sequence[str]) -> int:
        if isinstance(ends, BaseException):
            raise ends
        assert isinstance(ends, int)
        return ends

    monkeypatch.setitem(COMMANDS, "stand-in", Command("nowhere", "stands in"))
    monkeypatch.setattr(cli, "command", lambda name: work)


def test_status_of_a_command_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it returns is what the shell sees."""
    standing(monkeypatch, 3)
    assert main(["stand-in"]) == 3


def test_error_of_a_command_is_one_line_and_status_two(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No traceback for what a person can correct."""
    standing(monkeypatch, WeightsError("fold1 was altered. Attach it again."))
    assert main(["stand-in"]) == 2
    assert capsys.readouterr().err == "error: fold1 was altered. Attach it again.\n"


def test_command_on_another_system_says_that_linux_is_needed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line with the way out, and no command is begun; help is given everywhere."""
    standing(monkeypatch, ZeroDivisionError("it was begun"))
    monkeypatch.setattr("platform.system", lambda: "Darwin")

    assert main(["stand-in"]) == 2
    assert capsys.readouterr().err.startswith("error: soundpost needs Linux, and this is Darwin. Run it in a container")
    assert main(["--help"]) == 0


def test_ctrl_c_is_status_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """As shells count it."""
    standing(monkeypatch, KeyboardInterrupt())
    assert main(["stand-in"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_defect_of_a_command_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody foresaw keeps its traceback."""
    standing(monkeypatch, ZeroDivisionError("a defect"))
    with pytest.raises(ZeroDivisionError, match="a defect"):
        main(["stand-in"])


def test_reader_that_has_seen_enough_costs_no_traceback(tmp_path: Path) -> None:
    """`soundpost ... | head -1` ends quietly, with the status of a closed pipe."""
    (tmp_path / "loud.py").write_text("def main(arguments):\n    for i in range(99999):\n        print('line', i)\n")
    code = "import sys; from soundpost.cli import COMMANDS, Command, main; "
    code += "COMMANDS['loud'] = Command('loud', 'prints'); sys.exit(main(['loud']))"
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT / 'src'}"}

    with subprocess.Popen([sys.executable, "-c", code], stdout=-1, stderr=-1, env=environment, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "line 0\n"
        process.stdout.close()
        said = process.stderr.read()

    assert process.returncode == 141
    assert said == ""


def test_page_of_the_command_line_is_up_to_date() -> None:
    """docs/cli.md holds the help of every command as its parser gives it."""
    command = [sys.executable, str(ROOT / "docs" / "write_cli.py"), "--check"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stdout


def test_folder_is_tagged_through_the_command(
    make_assets: RecipeMaker, make_clips: ClipMaker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the first word to the table."""
    out = tmp_path / "tags.csv"
    clips = make_clips([0.3]) / "test"

    assert main(["tag", str(clips), "--weights", str(make_assets({})), "--out", str(out), "--device", "cpu"]) == 0

    assert len(out.read_text().splitlines()) == 4
    assert main(["tag", str(clips / "nothing")]) == 2
    assert "is neither a file nor a folder" in capsys.readouterr().err


def test_device_that_is_not_there_is_refused_at_once(make_clips: ClipMaker, capsys: pytest.CaptureFixture[str]) -> None:
    """Before a clip is read."""
    assert main(["tag", str(make_clips([0.3]) / "test"), "--device", "cuda:99"]) == 2
    assert "error: --device cuda:99: " in capsys.readouterr().err


def test_output_that_is_no_file_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a notebook or under a test there is no file descriptor behind the output."""
    standing(monkeypatch, 0)
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert main(["stand-in"]) == 0
