"""A kernel onto the disk, as a script or a notebook, or compared with what lies there. Never bundled."""

import json
import sys
from pathlib import Path

from soundpost.kernel.render import WARNING_BYTES, Kernel, check_size, notebook, sent_bytes

TITLE = """# Soundpost

From the folder of clips to `submission.csv`. The cell below is the whole kit, its weights inside; run it.
It was written by `build_kernel.py`: change its SETTINGS if you like, and everything else in the repository."""


def check(kernel: Kernel, out: Path) -> int:
    """Say whether a file is the kernel, with the command that makes it so; exit status 0 or 1."""
    check_size(kernel, kernel.size)
    if out.is_file() and out.read_bytes() == kernel.text.encode():
        print(f"{out.name} is up to date, {kernel.size:,} bytes")
        return 0
    state = "differs from its parts" if out.is_file() else "is not there"
    command = kernel.text.split("`")[1]
    print(f"{out} {state}. Run: {command} --out {out}", file=sys.stderr)
    return 1


def write_script(kernel: Kernel, out: Path) -> None:
    """Write the code, with the table of what takes how much.

    Raises:
        BundleError: it is larger than Kaggle takes.
    """
    print(kernel.table())
    check_size(kernel, kernel.size)
    _warn(kernel.size)
    out.write_bytes(kernel.text.encode())
    print(f"wrote {out}")


def write_notebook(kernel: Kernel, out: Path, title: str = TITLE, preview: str = "preview.py") -> None:
    """Write the code as a notebook; title and preview as render.notebook takes them.

    Raises:
        BundleError: in the form that is sent it is larger than Kaggle takes.
    """
    cells = notebook(kernel, title, preview)
    size = sent_bytes(cells)
    print(f"as a notebook, in the form that is sent: {size:,} bytes")
    check_size(kernel, size)
    _warn(size)
    out.write_text(json.dumps(cells, indent=1) + "\n", "utf-8", newline="\n")
    print(f"wrote {out}")


def _warn(size: int) -> None:
    if size >= WARNING_BYTES:
        print(f"warning: {size:,} bytes; from {WARNING_BYTES:,} on there is little room left under the limit")
