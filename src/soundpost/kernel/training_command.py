"""What build_kernel.py --train writes: a kernel that trains, and with --kaggle all that a push sends. Never bundled."""

import argparse
import json
import shlex
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from soundpost.ensemble.weights_folder import INPUT_ROOT
from soundpost.errors import SettingsError
from soundpost.kernel.metadata import (
    KERNEL_FILE,
    TRAINING_CODE,
    competition_slug,
    kernel_metadata,
    source_names,
    title_for,
)
from soundpost.kernel.render import Kernel
from soundpost.kernel.training_build import Named, build_training, named_plans
from soundpost.kernel.written import check, write_notebook, write_script
from soundpost.training.begin import shapes_of
from soundpost.training.duration import seconds_of
from soundpost.training.session.mounts import csv_and_folder

PREFIX = "Soundpost training"  # how its title begins
LONGEST = 12 * 3600.0  # s that a session may take
SETTINGS = ("limit", "curated", "noisy", "start", "folds", "epochs", "seed")  # options that go into the settings block
ANSWERING = ("members", "apart", "runtimes", "weights_by")  # options of the other kind of kernel
TITLE = """# Soundpost, training

The cell below is the trainer and its plans in one; run it. It goes on from its own earlier output where that is
attached, and ends in good order before the session does. It was written by `build_kernel.py --train`."""


def build_as_asked(options: argparse.Namespace, source: Path, root: Path) -> int:
    """Build, or with --check compare; exit status 0 when the kernel is as it should be.

    Args:
        options: what build_kernel.py was told.
        source: the folder that holds the package.
        root: where train_kernel.py is written.

    Raises:
        SettingsError: an option that a training kernel does not have, or a limit beyond a session.
        BundleError: a kernel that cannot be built.
    """
    if strange := [name for name in ANSWERING if getattr(options, name)]:
        raise SettingsError(f"--{strange[0].replace('_', '-')} says nothing to a kernel that trains. Leave it out.")
    if options.limit and not 0 < seconds_of(options.limit) < LONGEST:
        raise SettingsError(f"--limit {options.limit}: a session has less than 12 hours. Give less, such as 11h30m.")
    if options.epochs is not None and options.epochs < 1:
        raise SettingsError(f"--epochs {options.epochs}: at least 1 is needed.")
    for name in ("curated", "noisy"):
        if text := getattr(options, name):
            csv_and_folder(name, text)
    plans = named_plans([name for name in options.train.split(",") if name])
    if options.start:
        _check_start(options, plans)
    settings = _settings(options)
    if options.competition:
        settings["competition"] = competition_slug(options.competition)
    metadata = _metadata(options) if options.kaggle is not None else None
    with tempfile.TemporaryDirectory() as work:
        kernel = build_training(source, plans, settings, _command(options), options.folds_from, Path(work))
    out = options.out or root / f"{TRAINING_CODE}.py"
    if options.check:
        return check(kernel, out)
    if metadata:
        _write_push(kernel, metadata, options.dist)
        return 0
    write_script(kernel, out)
    if options.notebook:
        write_notebook(kernel, out.with_suffix(".ipynb"), TITLE, "training_preview.py")
    return 0


def _check_start(options: argparse.Namespace, plans: Sequence[Named]) -> None:
    """Refuse first weights that cannot be those of every plan, or that nothing is attached for.

    Raises:
        SettingsError: with the way out.
    """
    start = Path(options.start)
    if start.is_absolute() and not start.is_relative_to(INPUT_ROOT):
        raise SettingsError(
            f"--start {start}: a path of this machine. Send the file as a dataset, attach it by --datasets USER/SLUG, "
            f"and give its name there: --start {start.name}."
        )
    shapes = [shapes_of(one.plan) for one in plans] if len(plans) > 1 else []
    if strange := [one.name for one, own in zip(plans, shapes, strict=False) if own != shapes[0]]:
        raise SettingsError(
            f"--start {start}: {strange[0]} is another network than {plans[0].name}, so the same weights cannot begin "
            "both. Build a kernel for each."
        )
    if options.kaggle is not None and not options.datasets and not options.kernels:
        raise SettingsError(
            f"--start {start}: nothing is attached that could hold it. Name its dataset, --datasets USER/SLUG, or the "
            "kernel whose output it is, --kernels USER/SLUG."
        )


def _settings(options: argparse.Namespace) -> dict[str, str]:
    """What was said of the kernel's settings, by the options' names."""
    given = {name: getattr(options, name) for name in SETTINGS}
    return {name: str(value) for name, value in given.items() if value not in (None, "")}


def _metadata(options: argparse.Namespace) -> dict[str, object]:
    competition = competition_slug(options.competition)
    return kernel_metadata(
        options.kaggle,
        options.title or title_for(competition, PREFIX),
        competition,
        source_names(options.datasets, "--datasets"),
        f"{TRAINING_CODE}.{'ipynb' if options.notebook else 'py'}",
        "notebook" if options.notebook else "script",
        options.accelerator,
        source_names(options.kernels, "--kernels"),
    )


def _command(options: argparse.Namespace) -> str:
    """What to type for the same kernel again; files by their names, so that it is the same wherever they lie."""
    words = ["python", "build_kernel.py", "--train", ",".join(_shown(text) for text in options.train.split(","))]
    words += [word for name, value in _settings(options).items() for word in (f"--{name}", value)]
    words += ["--competition", competition_slug(options.competition)] if options.competition else []
    words += ["--folds-from", options.folds_from.name] if options.folds_from else []
    return shlex.join(words)


def _shown(text: str) -> str:
    return Path(text).name if Path(text).is_absolute() else text


def _write_push(kernel: Kernel, metadata: dict[str, object], dist: Path) -> None:
    """Write kernel/; of an older build nothing is left, and no dataset of weights goes with it."""
    folder = dist / "kernel"
    for old in (folder, dist / "weights-dataset"):
        shutil.rmtree(old, ignore_errors=True)
    folder.mkdir(parents=True)
    code = folder / str(metadata["code_file"])
    if code.suffix == ".ipynb":
        print(kernel.table())
        write_notebook(kernel, code, TITLE, "training_preview.py")
    else:
        write_script(kernel, code)
    (folder / KERNEL_FILE).write_text(json.dumps(metadata, indent=2) + "\n", "utf-8")
    print(f"push it: soundpost push {dist} --wait; pushed again, it goes on from its own output")
