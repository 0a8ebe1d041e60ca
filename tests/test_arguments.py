"""Command lines: what is mistyped is refused with the nearest known option, in every command alike."""

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from soundpost.arguments import Parser, own_arguments

ROOT = Path(__file__).resolve().parents[1]
# Every command there is, and one of its options with two letters swapped.
COMMANDS = {
    "build_kernel.py": ("--mebmers", "--members"),
    "soundpost.evaluation.evaluate": ("--wieghts", "--weights"),
    "soundpost.importers": ("--uot", "--out"),
    "soundpost.importers add": ("--chekcpoint", "--checkpoint"),
    "soundpost.kernel.calibrate": ("--bugdet", "--budget"),
    "soundpost.kernel.push": ("--yse", "--yes"),
    "soundpost.launch.main": ("--time-lmiit", "--time-limit"),
    "soundpost.sample.folder": ("--clisp", "--clips"),
    "soundpost.training": ("--epohcs", "--epochs"),
    "soundpost.training.recipe_fit": ("--scoer-clips", "--score-clips"),
}


@pytest.fixture
def parser() -> Parser:
    """Takes a limit, which must be given, a count and a file."""
    parser = Parser(prog="tool", elsewhere=("--unpack",))
    parser.add_argument("--time-limit", required=True)
    parser.add_argument("--count", type=int)
    parser.add_argument("file", nargs="?")
    return parser


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--time-limt 30m", r"--time-limt is no option \(did you mean --time-limit\?\)"),
        ("--time-limt=30m --cuont 3", r"--time-limt is no .*; --cuont is no option \(did you mean --count\?\)"),
        ("--time 30m", r"--time is no option \(did you mean --time-limit\?\)"),
        ("--unpak x", r"--unpak is no option \(did you mean --unpack\?\)"),
        ("--xyzzy", r"--xyzzy is no option\. Try"),
        ("--time-limit 3 a b", r"'b' belongs to no option"),
        ("--time-limit 3 -f /tmp/kernel-1.json", r"-f is no option"),
        ("--count 3", r"the following arguments are required: --time-limit"),
        ("--time-limit 3 --count three", r"argument --count: invalid int value: 'three'"),
    ],
)
def test_parser_wrong_argument_ends_with_status_2_and_one_line(
    parser: Parser, capsys: pytest.CaptureFixture[str], line: str, words: str
) -> None:
    """The nearest known option is named before anything that is missing because of it."""
    with pytest.raises(SystemExit, match=r"^2$"):
        parser.parse_args(line.split())

    printed = capsys.readouterr().err
    assert printed.startswith("tool: error: ")
    assert printed.count("\n") == 1
    assert printed.endswith("Try tool --help.\n")
    assert re.search(words, printed), printed


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("run --tiem 3", "--tiem is no option (did you mean --time?)"),
        ("check --time 3", "--time is no option; "),
        ("rum", "invalid choice: 'rum'"),
    ],
)
def test_parser_of_subcommands_refuses_what_the_chosen_one_does_not_take(
    capsys: pytest.CaptureFixture[str], line: str, words: str
) -> None:
    """Options of a subcommand are known, and belong to it alone."""
    parser = Parser(prog="tool")
    commands = parser.add_subparsers(required=True)
    commands.add_parser("run").add_argument("--time")
    commands.add_parser("check").add_argument("--sample")

    assert parser.parse_args(["run", "--time", "3"]).time == "3"
    with pytest.raises(SystemExit, match=r"^2$"):
        parser.parse_args(line.split())
    assert words in capsys.readouterr().err


def test_parser_words_after_two_hyphens_are_no_options(parser: Parser) -> None:
    """A file whose name begins with hyphens can be given."""
    assert parser.parse_args(["--time-limit", "3", "--", "--odd.wav"]).file == "--odd.wav"


@pytest.mark.parametrize("name", COMMANDS)
def test_command_mistyped_option_is_refused_with_the_nearest(name: str) -> None:
    """One parser serves every command, so none accepts a mistake in silence."""
    wrong, right = COMMANDS[name]
    program, *words = name.split()
    command = [str(ROOT / program)] if program.endswith(".py") else ["-m", program]

    done = subprocess.run(
        [sys.executable, *command, *words, wrong, "x"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 2
    assert f"{wrong} is no option (did you mean {right}?)" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["-f", "/root/.local/share/jupyter/runtime/kernel-1.json"],
        ["--f=/tmp/tmp1.json", "--ip=127.0.0.1"],
        ["--HistoryManager.hist_file=:memory:", "-f", "/tmp/tmp1.json"],
    ],
)
def test_own_arguments_of_a_notebook_are_its_kernels(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    """In a cell nothing is meant for us; anywhere else the same arguments are."""
    monkeypatch.setattr(sys, "argv", ["ipykernel_launcher.py", *arguments])
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: object()))
    in_notebook = own_arguments()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))

    assert in_notebook == []
    assert own_arguments() == arguments


def test_own_arguments_of_a_script_run_in_a_notebook_are_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """%run kernel.py --out x.csv means what it says."""
    monkeypatch.setattr(sys, "argv", ["kernel.py", "--out", "x.csv"])
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: object()))

    assert own_arguments() == ["--out", "x.csv"]
