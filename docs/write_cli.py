"""Writes docs/cli.md, the help of every command as its parser gives it: python docs/write_cli.py [--check]."""

import contextlib
import io
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src"))

from soundpost.cli import COMMANDS, command, usage  # noqa: E402

PAGE = ROOT / "docs" / "cli.md"
COLUMNS = "100"  # width of the help
# Words behind a command that have a help of their own.
FURTHER = {"import": (["add"], ["head"], ["compare"], ["export"]), "tag": (["--out", "TAGS.parquet"],)}

HEAD = """<!-- Written by `python docs/write_cli.py`. -->

# The command line

`soundpost` is there after `pip install .`; without it, `python -m soundpost.cli` is the same. `kernel.py` takes the
options of `soundpost run`, and `build_kernel.py` is `soundpost build`.
"""


def page() -> str:
    """The whole page."""
    parts = [HEAD, f"```\n{usage()}\n```\n"]
    commands = [(name, *words) for name in COMMANDS for words in ((), *FURTHER.get(name, ()))]
    parts += [f"## {' '.join(['soundpost', *c])}\n\n```\n{help_of(c[0], list(c[1:]))}\n```\n" for c in commands]
    return "\n".join(parts)


def help_of(name: str, words: list[str]) -> str:
    """What a command prints when it is asked for help."""
    before, os.environ["COLUMNS"] = os.environ.get("COLUMNS"), COLUMNS
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
            command(name)([*words, "--help"])
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before
    return printed.getvalue().strip()


def main() -> int:
    """Write the page, or with --check say whether it is up to date."""
    if "--check" in sys.argv:
        if PAGE.is_file() and PAGE.read_text("utf-8") == page():
            return 0
        print("docs/cli.md is out of date: run `python docs/write_cli.py`.")
        return 1
    PAGE.write_text(page(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
