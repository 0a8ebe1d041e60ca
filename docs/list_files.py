"""Writes docs/files.md, the map of the source, from its own first sentences: python docs/list_files.py [--check]."""

import ast
import sys
import tomllib
from pathlib import Path

from measure_house import floors

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "soundpost"
PAGE = ROOT / "docs" / "files.md"
TOP = "the top level"
OTHER = {"benchmarks": "Benchmarks", "docs": "Makers of pages and pictures"}
INTRODUCTION = """<!-- Written by `python docs/list_files.py`. -->

# The map

Every source file with the idea that it holds. First the packages from the ground up: a package may import those named
in its row and nothing else of Soundpost, besides `errors`, which is free to all. `tests/test_architecture.py` holds the
source to this table, which stands in [house.toml](house.toml). The words that these pages use in a sense of their own
are explained in [words.md](words.md)."""


def page() -> str:
    """The whole page."""
    house = tomllib.loads((ROOT / "docs" / "house.toml").read_text("utf-8"))
    may_import = {name: others for name, others in house["may_import"].items() if _place(name).exists()}
    layers = floors({name: set(others) for name, others in may_import.items()})
    never = set(house["rules"]["never_bundled"])
    lines = [INTRODUCTION, "", "## Who may import whom", ""]
    lines += ["| floor | package | may import | in a kernel | what it holds |", "|---|---|---|---|---|"]
    for number, rooms in enumerate(layers):
        for name in rooms:
            others = ", ".join(f"`{other}`" for other in may_import[name] if other in may_import) or "-"
            bundled = "no" if name in never else "yes"
            lines.append(f"| {number} | {_link(name)} | {others} | {bundled} | {_idea(_place(name))} |")
    lines.append("")
    tops = sorted(PACKAGE.glob("*.py"))
    lines += _section(TOP[0].upper() + TOP[1:], tops, PACKAGE)
    for name in (name for rooms in layers for name in rooms if (PACKAGE / name).is_dir()):
        files = sorted((PACKAGE / name).rglob("*.py"), key=lambda file: (file.name != "__init__.py", file))
        lines += _section(name, files, PACKAGE)
    lines += _section("Builds the kernel", [ROOT / "build_kernel.py"], ROOT)
    for folder, title in OTHER.items():
        lines += _section(title, sorted((ROOT / folder).glob("*.py")), ROOT)
    lines += ["# Tests", "", "Folders mirror the packages; `whole` holds what starts processes.", ""]
    for folder in [ROOT / "tests", *sorted(path for path in (ROOT / "tests").rglob("*") if path.is_dir())]:
        if files := sorted(folder.glob("*.py")):
            lines += _section(folder.relative_to(ROOT).as_posix(), files, ROOT)
    return "\n".join(lines)


def _place(name: str) -> Path:
    """The file that says what a package, or a module at the top level, holds."""
    file = PACKAGE / f"{name}.py"
    return file if file.is_file() else PACKAGE / name / "__init__.py"


def _link(name: str) -> str:
    """A package's name, leading to its files below."""
    anchor = name if (PACKAGE / name).is_dir() else TOP.replace(" ", "-")
    return f"[`{name}`](#{anchor})"


def _section(title: str, files: list[Path], below: Path) -> list[str]:
    rows = [f"| `{file.relative_to(below).as_posix()}` | {_idea(file)} |" for file in files]
    return [f"## {title}", "", "| file | what it holds |", "|---|---|", *rows, ""]


def _idea(file: Path) -> str:
    """The first paragraph of a file's docstring, on one line."""
    text = ast.get_docstring(ast.parse(file.read_text("utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split()).replace("|", "\\|")


def main() -> int:
    """Write the page, or with --check say whether it is up to date."""
    if "--check" in sys.argv:
        if PAGE.is_file() and PAGE.read_text("utf-8") == page():
            return 0
        print("docs/files.md is out of date: run `python docs/list_files.py`.")
        return 1
    PAGE.write_text(page(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
