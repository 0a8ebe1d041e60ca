"""The section of docs/training.md about Kaggle's machines: its commands as they stand."""

import json
import re
import shlex
from pathlib import Path

import pytest

from soundpost.kernel import command, push
from soundpost.training.session.options import parse

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "training.md").read_text("utf-8")
SECTION = PAGE[PAGE.index("## On Kaggle's machines") :].partition("\n## ")[0]
COMMANDS = re.findall(r"^    (python build_kernel\.py .*|soundpost push.*)$", SECTION, re.MULTILINE)


def words_of(line: str) -> list[str]:
    """A command's words without the program's."""
    return shlex.split(line)[2:]


def test_build_of_the_page_makes_what_the_page_says(tmp_path: Path) -> None:
    """The first command, to the letter: one file, two T4, internet off, a title whose address the page names later."""
    assert command.main([*words_of(COMMANDS[0]), "--dist", str(tmp_path)]) == 0
    table = json.loads((tmp_path / "kernel" / "kernel-metadata.json").read_text("utf-8"))
    assert (table["code_file"], table["machine_shape"], table["enable_internet"]) == (
        "train_kernel.py",
        "NvidiaTeslaT4",
        False,
    )
    later = words_of(next(line for line in COMMANDS if "--weights-by" in line))
    assert later[later.index("--weights-by") + 1] == table["id"]


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_of_the_page_is_one_that_there_is(line: str) -> None:
    """Options and all."""
    parser = push._parser() if line.startswith("soundpost push") else command._parser()
    parser.parse_args(words_of(line))


def test_options_of_the_table_are_those_of_the_build_and_of_the_session() -> None:
    """What the page names for a session can be told to the kernel, too; folds are dealt by the build alone."""
    rows = "".join(line for line in SECTION.splitlines() if line.startswith("| `--"))
    named = set(re.findall(r"`(--[a-z-]+)[^`]*`", rows))
    assert named <= command._parser().known()
    others = sorted(name.removeprefix("--") for name in named - {"--limit", "--folds-from"})
    assert parse([], {"limit": "1h", **dict.fromkeys(others, "1")}, "train_kernel.py").limit == "1h"
