"""Builds kernel.py: the source that the recipes need, the recipes and their packed weights, in one file for Kaggle.

Members for which the file has no room go to dist/weights-dataset/, to be attached; with --kaggle all that a push sends
is written to dist/, with the metadata that Kaggle's client asks for.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "src"))

from soundpost.errors import KitError  # noqa: E402
from soundpost.kernel.build import build  # noqa: E402
from soundpost.kernel.metadata import (  # noqa: E402
    DATASET_FILE,
    KERNEL_FILE,
    dataset_metadata,
    kernel_metadata,
    title_for,
)
from soundpost.kernel.render import WARNING_BYTES, Kernel, check_size, notebook, sent_bytes  # noqa: E402

TITLE = """# Soundpost

From the folder of clips to `submission.csv`. The cell below is the whole kit, its weights inside; run it.
It was written by `build_kernel.py`: change its SETTINGS if you like, and everything else in the repository."""


def main(argv: list[str] | None = None) -> int:
    """Build, or with --check compare, as the command line says; exit status 0 when the kernel is as it should be."""
    arguments = _parser().parse_args(argv)
    members = [name for name in arguments.members.split(",") if name]
    apart = None if arguments.apart is None else [name for name in arguments.apart.split(",") if name]
    try:
        push = _push(arguments) if arguments.kaggle is not None else None
        dataset = push["dataset"]["id"] if push else ""
        command = _command(arguments, members)
        kernel = build(ROOT / "src", arguments.submission, members, command, apart, dataset)
        if arguments.check:
            return _check(kernel, arguments.out)
        if push:
            _write_push(kernel, push, arguments)
            return 0
        _write(kernel, arguments.out)
        if arguments.notebook:
            _write_notebook(kernel, arguments.out.with_suffix(".ipynb"))
        _write_apart(kernel, arguments.dist / "weights-dataset")
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
    parser.add_argument("--apart", help="send these members by a dataset (those that do not fit; '' for none)")
    parser.add_argument("--kaggle", metavar="USER", help="write what a push sends to dist/, as this user's")
    parser.add_argument("--competition", metavar="SLUG", default="", help="whose data the kernel gets, for --kaggle")
    parser.add_argument("--title", help="of the kernel on Kaggle (Soundpost and the competition's name)")
    parser.add_argument("--dataset-title", default="Soundpost weights", help="of the dataset (Soundpost weights)")
    parser.add_argument("--dist", type=Path, default=ROOT / "dist", help="where that is written (dist)")
    parser.add_argument("--check", action="store_true", help="write nothing; say whether the file is up to date")
    parser.add_argument("--notebook", action="store_true", help="write the same code as a notebook beside it, too")
    return parser


def _command(arguments: argparse.Namespace, members: list[str]) -> str:
    """What to type for the same kernel again; the same wherever the repository lies."""
    submission = arguments.submission.resolve()
    options = [f"--members {','.join(members)}"] if members else []
    options += [f"--apart '{arguments.apart}'"] if arguments.apart is not None else []
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


def _push(arguments: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Both metadata, refused before anything is built where Kaggle would refuse them."""
    dataset = dataset_metadata(arguments.kaggle, arguments.dataset_title)
    kind, file = ("notebook", "kernel.ipynb") if arguments.notebook else ("script", "kernel.py")
    title = arguments.title or title_for(arguments.competition)
    kernel = kernel_metadata(arguments.kaggle, title, arguments.competition, [dataset["id"]], file, kind)
    return {"dataset": dataset, "kernel": kernel}


def _write_push(kernel: Kernel, push: dict[str, dict[str, Any]], arguments: argparse.Namespace) -> None:
    """kernel/ and, where members travel apart, weights-dataset/; of an older build nothing is left."""
    folder = arguments.dist / "kernel"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if not kernel.apart:
        push["kernel"]["dataset_sources"] = []
    code = folder / push["kernel"]["code_file"]
    if arguments.notebook:
        print(kernel.table())
        _write_notebook(kernel, code)
    else:
        _write(kernel, code)
    (folder / KERNEL_FILE).write_text(json.dumps(push["kernel"], indent=2) + "\n", "utf-8")
    _write_apart(kernel, arguments.dist / "weights-dataset")
    if kernel.apart:
        text = json.dumps(push["dataset"], indent=2) + "\n"
        (arguments.dist / "weights-dataset" / DATASET_FILE).write_text(text, "utf-8")
    print(f"push it: make push, or python -m soundpost.kernel.push {arguments.dist}")


def _write_apart(kernel: Kernel, folder: Path) -> None:
    """The files of the dataset, flat; a folder of an older build goes."""
    shutil.rmtree(folder, ignore_errors=True)
    if not kernel.apart:
        return
    folder.mkdir(parents=True)
    for file in kernel.apart:
        shutil.copyfile(file.source, folder / file.file)
        print(f"{file.member.name} travels by a dataset: {folder / file.file}, {file.n_bytes:,} bytes")


def _warn(size: int) -> None:
    if size >= WARNING_BYTES:
        print(f"warning: {size:,} bytes; from {WARNING_BYTES:,} on there is little room left under the limit")


if __name__ == "__main__":
    sys.exit(main())
