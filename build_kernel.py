"""Builds kernel.py: the source that the recipes need, the recipes and their packed weights, in one file for Kaggle."""

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "src"))

from soundpost.bundle import build  # noqa: E402
from soundpost.errors import KitError  # noqa: E402
from soundpost.kernel_text import WARNING_BYTES, Kernel, check_size, notebook, sent_bytes  # noqa: E402

TITLE = """# Soundpost

From the folder of clips to `submission.csv`. The cell below is the whole kit, its weights inside; run it.
It was written by `build_kernel.py`: change its SETTINGS if you like, and everything else in the repository."""


def main(argv: list[str] | None = None) -> int:
    """Build, or with --check compare, as the command line says; exit status 0 when the kernel is as it should be."""
    arguments = _parser().parse_args(argv)
    members = [name for name in arguments.members.split(",") if name]
    try:
        kernel = build(ROOT / "src", arguments.submission, members, _command(arguments, members))
        if arguments.check:
            return _check(kernel, arguments.out)
        _write(kernel, arguments.out)
        if arguments.notebook:
            _write_notebook(kernel, arguments.out.with_suffix(".ipynb"))
    except KitError as error:
        print(f"build_kernel.py: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--submission",
        type=Path,
        default=ROOT / "weights" / "submission.toml",
        help="which recipes, and how they are blended (weights/submission.toml)",
    )
    parser.add_argument("--out", type=Path, default=ROOT / "kernel.py", help="the file to write (kernel.py)")
    parser.add_argument("--members", default="", help="carry only these, such as compact/1,compact/2 (all)")
    parser.add_argument("--check", action="store_true", help="write nothing; say whether the file is up to date")
    parser.add_argument("--notebook", action="store_true", help="write the same code as a notebook beside it, too")
    return parser


def _command(arguments: argparse.Namespace, members: list[str]) -> str:
    """What to type for the same kernel again; the same wherever the repository lies."""
    submission = arguments.submission.resolve()
    options = [f"--members {','.join(members)}"] if members else []
    if submission != ROOT / "weights" / "submission.toml":
        known = submission.is_relative_to(ROOT)
        options.append(f"--submission {submission.relative_to(ROOT).as_posix() if known else submission.name}")
    return " ".join(["python build_kernel.py", *options])


def _check(kernel: Kernel, out: Path) -> int:
    check_size(kernel, kernel.size)
    if out.is_file() and out.read_bytes() == kernel.text.encode():
        print(f"{out.name} is up to date, {kernel.size:,} bytes")
        return 0
    state = "differs from its parts" if out.is_file() else "is not there"
    command = kernel.text.split("`")[1]
    print(f"{out} {state}. Run: {command} --out {out}", file=sys.stderr)
    return 1


def _write(kernel: Kernel, out: Path) -> None:
    print(kernel.table())
    check_size(kernel, kernel.size)
    _warn(kernel.size)
    out.write_bytes(kernel.text.encode())
    print(f"wrote {out}")


def _write_notebook(kernel: Kernel, out: Path) -> None:
    cells = notebook(kernel, TITLE)
    size = sent_bytes(cells)
    print(f"as a notebook, in the form that is sent: {size:,} bytes")
    check_size(kernel, size)
    _warn(size)
    out.write_text(json.dumps(cells, indent=1) + "\n", "utf-8", newline="\n")
    print(f"wrote {out}")


def _warn(size: int) -> None:
    if size >= WARNING_BYTES:
        print(f"warning: {size:,} bytes; from {WARNING_BYTES:,} on there is little room left under the limit")


if __name__ == "__main__":
    sys.exit(main())
