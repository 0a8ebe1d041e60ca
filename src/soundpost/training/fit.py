"""Trains a template's network briefly, without a plan: soundpost fit TEMPLATE --clips DIR --csv FILE --out DIR

TEMPLATE is a recipe.toml without name, labels and members, or the name of one of soundpost/importers/templates. It says
what the network sees; every epoch shows one window of its first view of each clip, and nothing is done to the sounds.
This is to see a recipe work, not to win with it. Called again, it goes on where it stopped.
"""

import argparse
import shlex
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from soundpost.arguments import Parser, own_arguments
from soundpost.errors import SettingsError
from soundpost.evaluation.dataset import Table, missing_files, read_table
from soundpost.exit_status import refusing
from soundpost.training.device import working_device
from soundpost.training.interrupt import Paused, interruptible
from soundpost.training.plan import TEMPLATES, read_plan
from soundpost.training.recipe_fit import LearnerSettings, spectrograms_of, train


@refusing
def main(arguments: Sequence[str] | None = None) -> int:
    """Train as the command line says; exit status 0, also where Ctrl-C stopped it, or 2 with the reason."""
    parser = Parser(prog="soundpost fit", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("template", help="recipe.toml without labels and members, or the name of a template")
    parser.add_argument("--clips", type=Path, required=True, help="folder of the recordings")
    parser.add_argument("--csv", type=Path, required=True, help="fname,labels[,fold]; several labels comma separated")
    parser.add_argument("--out", type=Path, required=True, help="folder of the recipe; its name is the recipe's")
    parser.add_argument("--plan", type=Path, help="TOML file whose [aliases] name columns of the submission")
    parser.add_argument("--folds", type=int, help="deal the clips into so many folds; default: the column fold")
    parser.add_argument("--only", help="members of these folds alone, comma separated")
    parser.add_argument("--start", type=Path, help="folder of a recipe whose members are begun with, where they fit")
    parser.add_argument("--score-clips", type=int, default=0, help="of its fold, that score a member (default: all)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--heads", help="weights of the losses of a network's outputs, such as 1,0.4,0.2,0.1")
    for field in fields(LearnerSettings):
        if field.name != "heads":
            parser.add_argument(f"--{field.name.replace('_', '-')}", type=field.type, default=field.default)
    given = own_arguments() if arguments is None else list(arguments)
    _fit(parser.parse_args(given), shlex.join(["soundpost", "fit", *given]))
    return 0


def read_template(text: str) -> dict[str, Any]:
    """The tables of a template, by its file or its name.

    Raises:
        SettingsError: it cannot be read, is no TOML, or names no front end or network.
    """
    known = Path(str(TEMPLATES)) / f"{text}.toml"
    path = known if known.is_file() and not Path(text).is_file() else Path(text)
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"template {path}: {error}. Give a file, or a name of importers/templates.") from error
    absent = [key for key in ("front_end", "model") if "name" not in table.get(key, {})]
    if absent:
        raise SettingsError(f"template {path}: no name in [{'], ['.join(absent)}]. Write both, as recipe.toml does.")
    return table


def _fit(options: argparse.Namespace, command: str) -> None:
    settings = _settings(options)
    template = read_template(options.template)
    aliases = read_plan(options.plan).aliases if options.plan else {}
    table = _table(options)
    device = working_device(options.device)
    with interruptible() as was_interrupted:
        try:
            spectrograms = spectrograms_of(template, options.clips, table.files, was_interrupted)
            trained = train(
                options.out.name,
                template,
                table,
                spectrograms,
                options.out,
                settings,
                options.only.split(",") if options.only else (),
                aliases,
                options.start,
                options.score_clips,
                options.seed,
                str(device),
                was_interrupted,
            )
        except Paused as pause:
            print(f"paused in {pause}.\nGo on with the same command: {command}")
            return
    for member in trained.recipe.members:
        first, last = trained.losses[member.fold][0], trained.losses[member.fold][-1]
        scores = ", ".join(f"{name} {value:.4f}" for name, value in member.scores.items())
        print(f"{member.name}: loss {first:.4f} in the first epoch, {last:.4f} in the last; never heard: {scores}")
    print(f"{options.out / 'recipe.toml'} is there. Next: name {options.out.name} in submission.toml, then")
    print("python build_kernel.py")


def _settings(options: argparse.Namespace) -> LearnerSettings:
    """How long and how fast, as the command line says."""
    if options.score_clips < 0:
        raise SettingsError(f"--score-clips {options.score_clips}: at least 0 is needed.")
    given: Mapping[str, Any] = {field.name: getattr(options, field.name) for field in fields(LearnerSettings)}
    try:
        heads = tuple(map(float, options.heads.split(","))) if options.heads else LearnerSettings.heads
    except ValueError as error:
        raise SettingsError(f"--heads {options.heads}: {error}. Write numbers, 1,0.4,0.2,0.1.") from error
    return LearnerSettings(**{**given, "heads": heads})


def _table(options: argparse.Namespace) -> Table:
    """The clips of the csv, in two folds or more."""
    if options.folds is not None and options.folds < 2:
        raise SettingsError(f"--folds {options.folds}: at least 2 are needed, as each member is deaf to its own.")
    table = read_table(options.csv, options.folds, options.seed)
    missing_files(options.clips, table.files)
    print(table.summary([options.clips / file for file in table.files]), flush=True)
    if len(table.fold_names) < 2:
        raise SettingsError(
            f"{options.csv}: all clips are in fold {table.fold_names[0]}, whose member would hear none. Give "
            "--folds 2 or more."
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
