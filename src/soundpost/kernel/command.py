"""The command that builds kernel.py, and with --kaggle everything that a push sends: python build_kernel.py.

Into kernel.py go the source that the recipes need, the recipes and their packed weights. Members for which the file has
no room go to dist/weights-dataset/, to be attached; with --kaggle all that a push sends is written to dist/, with the
metadata that Kaggle's client asks for. Never bundled.
"""

import argparse
import json
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from soundpost.arguments import Parser
from soundpost.ensemble.weights_folder import SUBMISSION, default_root
from soundpost.exit_status import refusing
from soundpost.kernel.build import build
from soundpost.kernel.metadata import (
    ACCELERATORS,
    DATASET_FILE,
    KERNEL_FILE,
    competition_slug,
    dataset_metadata,
    kernel_metadata,
    source_names,
    title_for,
)
from soundpost.kernel.render import WARNING_BYTES, Kernel, check_size, notebook, sent_bytes
from soundpost.settings import TIME_LIMIT

SOURCE = Path(__file__).resolve().parents[2]  # the folder that holds the package
# The repository; where pip has installed the package and there is none, the folder in which one works.
ROOT = SOURCE.parent if (SOURCE.parent / "build_kernel.py").is_file() else Path.cwd()
TITLE = """# Soundpost

From the folder of clips to `submission.csv`. The cell below is the whole kit, its weights inside; run it.
It was written by `build_kernel.py`: change its SETTINGS if you like, and everything else in the repository."""


@refusing
def main(argv: Sequence[str] | None = None) -> int:
    """Build, or with --check compare, as the command line says; exit status 0 when the kernel is as it should be."""
    options = _parser().parse_args(argv)
    members = [name for name in options.members.split(",") if name]
    apart = None if options.apart is None else [name for name in options.apart.split(",") if name]
    push = _push(options) if options.kaggle is not None else None
    dataset = push["dataset"]["id"] if push else ""
    command = _command(options, members)
    kernel = build(SOURCE, options.submission, members, command, apart, dataset, options.time_limit)
    if options.check:
        return _check(kernel, options.out)
    if push:
        write_push(kernel, push, options.dist, options.notebook)
        return 0
    _write(kernel, options.out)
    if options.notebook:
        _write_notebook(kernel, options.out.with_suffix(".ipynb"))
    _write_apart(kernel, options.dist / "weights-dataset")
    return 0


def _parser() -> Parser:
    parser = Parser(prog="soundpost build", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add(
        "--submission",
        type=Path,
        default=default_root() / SUBMISSION,
        help="which recipes, and how they are blended (weights/submission.toml)",
    )
    add("--out", type=Path, default=ROOT / "kernel.py", help="the file to write (kernel.py)")
    add("--members", default="", help="carry only these, such as compact/1,compact/2 (all)")
    add("--apart", help="send these members by a dataset (those that do not fit; '' for none)")
    add("--time-limit", metavar="TIME", default=TIME_LIMIT, help="of a run, for the kernel's SETTINGS (%(default)s)")
    add("--check", action="store_true", help="write nothing; say whether the file is up to date")
    add("--notebook", action="store_true", help="write the same code as a notebook beside it, too")
    group = parser.add_argument_group("for a push")
    add = group.add_argument
    add("--kaggle", metavar="USER", help="write what a push sends to dist/, as this user's")
    add("--competition", metavar="SLUG", default="", help="whose data the kernel gets: slug, c/SLUG, or its address")
    add("--accelerator", choices=tuple(ACCELERATORS), default="t4", help="the machine to ask for (%(default)s)")
    add("--datasets", metavar="NAMES", default="", help="more to attach: USER/SLUG or datasets/USER/SLUG, ...")
    add(
        "--kernels",
        metavar="NAMES",
        default="",
        help="outputs to attach: USER/SLUG or code/USER/SLUG, ...",
    )
    add("--title", help="of the kernel on Kaggle (Soundpost and the competition's name)")
    add("--dataset-title", default="Soundpost weights", help="of the dataset of weights (%(default)s)")
    add("--dist", type=Path, default=ROOT / "dist", help="where that is written (dist)")
    return parser


def _command(options: argparse.Namespace, members: Sequence[str]) -> str:
    """What to type for the same kernel again; the same wherever the repository lies."""
    submission = options.submission.resolve()
    words = ["python", "build_kernel.py"]
    words += ["--members", ",".join(members)] if members else []
    words += ["--apart", options.apart] if options.apart is not None else []
    words += ["--time-limit", options.time_limit] if options.time_limit != TIME_LIMIT else []
    if submission != default_root() / SUBMISSION:
        known = submission.is_relative_to(ROOT)
        words += ["--submission", submission.relative_to(ROOT).as_posix() if known else submission.name]
    return shlex.join(words)


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


def _push(options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Both metadata, refused before anything is built where Kaggle would refuse them."""
    dataset = dataset_metadata(options.kaggle, options.dataset_title)
    kind, file = ("notebook", "kernel.ipynb") if options.notebook else ("script", "kernel.py")
    competition = competition_slug(options.competition)
    kernel = kernel_metadata(
        options.kaggle,
        options.title or title_for(competition),
        competition,
        [dataset["id"], *source_names(options.datasets, "--datasets")],
        file,
        kind,
        options.accelerator,
        source_names(options.kernels, "--kernels"),
    )
    return {"dataset": dataset, "kernel": kernel}


def write_push(kernel: Kernel, push: dict[str, dict[str, Any]], dist: Path, as_notebook: bool) -> None:
    """Write kernel/ and, where members travel apart, weights-dataset/; of an older build nothing is left.

    Args:
        kernel: to be sent.
        push: metadata of "kernel" and of its "dataset".
        dist: the folder to write in.
        as_notebook: write the code as a notebook instead of a script.

    Raises:
        BundleError: the code is larger than Kaggle takes.
    """
    folder = dist / "kernel"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if not kernel.apart:
        push["kernel"]["dataset_sources"].remove(push["dataset"]["id"])
    code = folder / push["kernel"]["code_file"]
    if as_notebook:
        print(kernel.table())
        _write_notebook(kernel, code)
    else:
        _write(kernel, code)
    (folder / KERNEL_FILE).write_text(json.dumps(push["kernel"], indent=2) + "\n", "utf-8")
    _write_apart(kernel, dist / "weights-dataset")
    if kernel.apart:
        text = json.dumps(push["dataset"], indent=2) + "\n"
        (dist / "weights-dataset" / DATASET_FILE).write_text(text, "utf-8")
    print(f"push it: make push, or python -m soundpost.kernel.push {dist}")


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
