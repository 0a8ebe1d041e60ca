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
from dataclasses import replace
from pathlib import Path
from typing import Any

from soundpost.arguments import Parser
from soundpost.ensemble.weights_file import sha256_of
from soundpost.ensemble.weights_folder import SUBMISSION, default_root, find_assets
from soundpost.errors import SettingsError
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
from soundpost.kernel.render import Kernel
from soundpost.kernel.wheels import RUNTIMES, download
from soundpost.kernel.written import check, write_notebook, write_script
from soundpost.settings import TIME_LIMIT

SOURCE = Path(__file__).resolve().parents[2]  # the folder that holds the package
# The repository; where pip has installed the package and there is none, the folder in which one works.
ROOT = SOURCE.parent if (SOURCE.parent / "build_kernel.py").is_file() else Path.cwd()


@refusing
def main(argv: Sequence[str] | None = None) -> int:
    """Build, or with --check compare, as the command line says; exit status 0 when the kernel is as it should be."""
    options = _parser().parse_args(argv)
    if options.train:
        from soundpost.kernel.training_command import build_as_asked  # with torch, which reads plans

        return build_as_asked(options, SOURCE, ROOT)
    options.out = options.out or ROOT / "kernel.py"
    members = [name for name in options.members.split(",") if name]
    apart = None if options.apart is None else [name for name in options.apart.split(",") if name]
    by = _weights_by(options)
    if by and apart is None:
        apart = members or _all_members(options.submission)
    push = _push(options, by) if options.kaggle is not None else None
    dataset = f"code/{by}" if by else push["dataset"]["id"] if push else ""
    command = _command(options, members)
    runtimes = [name for name in options.runtimes.split(",") if name]
    wheels = download(runtimes, options.dist / "wheels") if runtimes else ()
    kernel = build(SOURCE, options.submission, members, command, apart, dataset, options.time_limit, wheels)
    if options.check:
        return check(kernel, options.out)
    if push:
        write_push(replace(kernel, apart=()) if by else kernel, push, options.dist, options.notebook)
        return 0
    write_script(kernel, options.out)
    if options.notebook:
        write_notebook(kernel, options.out.with_suffix(".ipynb"))
    if not by:
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
    add("--out", type=Path, help="the file to write (kernel.py, with --train train_kernel.py)")
    add("--members", default="", help="carry only these, such as compact/1,compact/2 (all)")
    add("--apart", help="send these members by a dataset (those that do not fit; '' for none)")
    add(
        "--weights-by", metavar="USER/SLUG", default="", help="send members by the output of this kernel of yours (all)"
    )
    add(
        "--with",
        dest="runtimes",
        metavar="NAMES",
        default="",
        help=f"runtimes for the dataset, and the graphs of all members: {', '.join(RUNTIMES)} (none)",
    )
    add("--time-limit", metavar="TIME", default=TIME_LIMIT, help="of a run, for the kernel's SETTINGS (%(default)s)")
    add("--check", action="store_true", help="write nothing; say whether the file is up to date")
    add("--notebook", action="store_true", help="write the same code as a notebook beside it, too")
    _add_training(parser.add_argument_group("for a kernel that trains, in place of one that answers"))
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


def _add_training(group: Any) -> None:
    """The options of a training kernel; those of its settings block are named as there."""
    add = group.add_argument
    add("--train", metavar="PLANS", default="", help="files, or names that soundpost train --list prints; no weights")
    add("--folds", default="", help="train these members alone, comma separated (all)")
    add("--limit", default="", help="of a session (11h30m of Kaggle's 12 hours)")
    add("--curated", metavar="CSV:DIR", default="", help="where its clips lie, from a folder of the mount (known ones)")
    add("--noisy", metavar="CSV:DIR", default="", help="the same of clips whose labels may be wrong")
    add("--start", metavar="NAME", default="", help="weights to begin with: a file in the mount, or a recipe's folder")
    add("--epochs", type=int, help="of every stage, instead of the plan's")
    add("--seed", type=int, help="another one is another training (0)")
    add("--folds-from", metavar="CSV", type=Path, help="csv of the curated clips here: folds are dealt now, and travel")


def _command(options: argparse.Namespace, members: Sequence[str]) -> str:
    """What to type for the same kernel again; the same wherever the repository lies."""
    submission = options.submission.resolve()
    words = ["python", "build_kernel.py"]
    words += ["--members", ",".join(members)] if members else []
    words += ["--apart", options.apart] if options.apart is not None else []
    words += ["--weights-by", options.weights_by] if options.weights_by else []
    words += ["--with", options.runtimes] if options.runtimes else []
    words += ["--time-limit", options.time_limit] if options.time_limit != TIME_LIMIT else []
    if submission != default_root() / SUBMISSION:
        known = submission.is_relative_to(ROOT)
        words += ["--submission", submission.relative_to(ROOT).as_posix() if known else submission.name]
    return shlex.join(words)


def _weights_by(options: argparse.Namespace) -> str:
    """USER/SLUG of the kernel whose output holds the members; empty where they do not come so.

    Raises:
        SettingsError: it is no name of one kernel, or wheels are asked for, which no training leaves.
    """
    names = source_names(options.weights_by, "--weights-by")
    if len(names) > 1 or (names and options.runtimes):
        raise SettingsError(f"--weights-by {options.weights_by}: the name of one kernel, and no --with beside it.")
    return names[0] if names else ""


def _all_members(submission: Path) -> list[str]:
    assets = find_assets(submission.parent, submission.name)
    recipes = (*assets.submission.recipes, *assets.submission.second_level)
    return [member.name for recipe in recipes for member in recipe.members]


def _push(options: argparse.Namespace, by: str) -> dict[str, dict[str, Any]]:
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
        [*([by] if by else []), *source_names(options.kernels, "--kernels")],
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
    if not kernel.apart and not kernel.beside:
        push["kernel"]["dataset_sources"].remove(push["dataset"]["id"])
    code = folder / push["kernel"]["code_file"]
    if as_notebook:
        print(kernel.table())
        write_notebook(kernel, code)
    else:
        write_script(kernel, code)
    (folder / KERNEL_FILE).write_text(json.dumps(push["kernel"], indent=2) + "\n", "utf-8")
    _write_apart(kernel, dist / "weights-dataset")
    if kernel.apart or kernel.beside:
        text = json.dumps(push["dataset"], indent=2) + "\n"
        (dist / "weights-dataset" / DATASET_FILE).write_text(text, "utf-8")
    print(f"push it: make push, or python -m soundpost.kernel.push {dist}")


def _write_apart(kernel: Kernel, folder: Path) -> None:
    """The files of the dataset, flat; a folder of an older build goes."""
    shutil.rmtree(folder, ignore_errors=True)
    if not kernel.apart and not kernel.beside:
        return
    folder.mkdir(parents=True)
    for name, content in kernel.beside.items():
        if isinstance(content, Path):
            shutil.copyfile(content, folder / name)
        else:
            (folder / name).write_bytes(content)
        print(f"{folder / name}, {(folder / name).stat().st_size:,} bytes, sha256 {sha256_of(folder / name)}")
    for file in kernel.apart:
        shutil.copyfile(file.source, folder / file.file)
        print(f"{file.member.name} travels by a dataset: {folder / file.file}, {file.n_bytes:,} bytes")


if __name__ == "__main__":
    sys.exit(main())
