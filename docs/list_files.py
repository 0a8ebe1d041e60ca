"""Writes docs/files.md, every source file with the idea it holds: python docs/list_files.py [--check]."""

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "files.md"
FOLDERS = {
    "build_kernel.py": "Builds the kernel",
    "src/soundpost": "The package",
    "src/soundpost/cache": "The spectrogram cache",
    "src/soundpost/front_ends": "Front ends",
    "src/soundpost/models": "Networks",
    "src/soundpost/views": "Views",
    "src/soundpost/importers": "Importers, never bundled",
    "src/soundpost/training": "Training, never bundled",
    "benchmarks": "Benchmarks",
    "docs": "Makers of pages and pictures",
    "tests": "Tests",
    "tests/golden": "Tests against the published systems' numbers",
}


def page() -> str:
    """The whole page, from the first paragraph of each file's docstring."""
    lines = ["<!-- Written by `python docs/list_files.py`. -->", "", "# Files", ""]
    for folder, title in FOLDERS.items():
        place = ROOT / folder
        files = [place] if place.is_file() else sorted(place.glob("*.py"))
        lines += [f"## {title}", "", "| file | what it holds |", "|---|---|"]
        lines += [f"| `{file.relative_to(ROOT).as_posix()}` | {_idea(file)} |" for file in files]
        lines.append("")
    return "\n".join(lines)


def _idea(file: Path) -> str:
    text = ast.get_docstring(ast.parse(file.read_text("utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split()).replace("|", "\\|")


def main() -> int:
    """Write the page, or with --check say whether it is up to date."""
    if "--check" in sys.argv:
        if PAGE.read_text("utf-8") == page():
            return 0
        print("docs/files.md is out of date: run `python docs/list_files.py`.")
        return 1
    PAGE.write_text(page(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
