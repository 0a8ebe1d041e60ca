"""Trains a plan: soundpost train PLAN --curated CSV:DIR [--noisy CSV:DIR] --out weights/NAME

PLAN is a training.toml, or the name of a published one (see --list). Called again it goes on where it stopped.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from soundpost.arguments import Parser
from soundpost.errors import SettingsError
from soundpost.exit_status import refusing
from soundpost.training.clips import Clips, Source, read_clips
from soundpost.training.device import working_device
from soundpost.training.duration import seconds_of
from soundpost.training.finish import leave_recipe, members_there, score
from soundpost.training.inputs.material import Shared
from soundpost.training.interrupt import interruptible
from soundpost.training.plan import Plan, find_plan, plan_names, read_plan
from soundpost.training.train import Campaign
from soundpost.training.trainer import Paused


@refusing
def main(arguments: Sequence[str] | None = None) -> int:
    """Train as the command line says; exit status 0, also where a limit stopped it, or 2 with the reason."""
    parser = Parser(prog="soundpost train", description=__doc__)
    parser.add_argument("plan", nargs="?", help="training.toml, or the name of a published plan")
    parser.add_argument("--list", action="store_true", help="name the published plans")
    parser.add_argument("--curated", help="CSV:DIR, clips with trusted labels and their folder")
    parser.add_argument("--noisy", help="CSV:DIR, clips whose labels may be wrong")
    parser.add_argument("--out", type=Path, help="folder of the recipe, whose name is the recipe's")
    parser.add_argument("--folds", help="train these members alone, comma separated; default: all")
    parser.add_argument("--epochs", type=int, help="of every stage, instead of the plan's")
    parser.add_argument("--start", type=Path, help="folder of a recipe whose members are begun with, where they fit")
    parser.add_argument("--limit", help="stop in good order after so long, such as 11h30m")
    parser.add_argument("--save-every", default="60s", help="at most so long between two checkpoints (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args(arguments)
    if options.list:
        print("\n".join(plan_names()))
        return 0
    _train(options)
    return 0


def _train(options: argparse.Namespace) -> None:
    plan, clips = _asked_for(options)
    print(clips.summary(), flush=True)
    device = working_device(options.device)
    ends = time.monotonic() + seconds_of(options.limit) if options.limit else None
    with interruptible() as was_interrupted:
        campaign = Campaign(
            Shared(plan, clips, device, options.out / "features"),
            options.out,
            options.seed,
            options.start,
            lambda: was_interrupted() or (ends is not None and time.monotonic() > ends),
            seconds_of(options.save_every, "--save-every"),
        )
        chosen = tuple(options.folds.split(",")) if options.folds else campaign.folds
        if unknown := sorted(set(chosen) - set(campaign.folds)):
            raise SettingsError(f"--folds {','.join(unknown)}: folds are {', '.join(campaign.folds)}. Correct --folds.")
        done: list[str] = []
        try:
            for fold in chosen:
                campaign.member(fold)
                done.append(fold)
        except Paused as pause:
            print(f"{len(done)} of {len(chosen)} members done; paused in fold {chosen[len(done)]}, {pause}.")
            print(f"Go on with the same command: {_command(options)}")
            return
    _finish(campaign, options)


def _asked_for(options: argparse.Namespace) -> tuple[Plan, Clips]:
    """Plan and clips of the command line."""
    if missing := [name for name in ("plan", "curated", "out") if not getattr(options, name)]:
        raise SettingsError(f"{', '.join(missing)} not given. Name a plan, --curated CSV:DIR and --out DIR.")
    if options.epochs is not None and options.epochs < 1:
        raise SettingsError(f"--epochs {options.epochs}: at least 1 is needed.")
    path = find_plan(options.plan)
    plan = replace(read_plan(path), name=options.out.name)
    if options.epochs:
        plan = replace(plan, stages=tuple({**stage, "epochs": options.epochs} for stage in plan.stages))
    given = {name: _source(getattr(options, name), name) for name in ("curated", "noisy") if getattr(options, name)}
    return plan, read_clips(plan, given, path.parent)


def _source(text: str, name: str) -> Source:
    csv, colon, folder = text.rpartition(":")
    if not colon or not csv or not folder:
        raise SettingsError(f"--{name} {text}: two paths with a colon between are needed, CSV:DIR.")
    if not Path(folder).is_dir():
        raise SettingsError(f"--{name} {text}: no folder {folder}. Name the one that holds the clips.")
    return Source(Path(csv), Path(folder))


def _command(options: argparse.Namespace) -> str:
    names = ("curated", "noisy", "out", "folds", "epochs", "start", "limit", "seed", "device")
    given = [f"--{name} {value}" for name in names if (value := getattr(options, name)) is not None]
    return " ".join(["soundpost train", options.plan, *given])


def _finish(campaign: Campaign, options: argparse.Namespace) -> None:
    """Recipe, out-of-fold answers and scores of the members that are there."""
    out, there = campaign.out, members_there(campaign)
    if missing := [fold for fold in campaign.folds if fold not in there]:
        print(f"members {', '.join(there)} are done; {', '.join(missing)} are not, so there is no recipe yet.")
        print(f"Go on with: {_command(argparse.Namespace(**{**vars(options), 'folds': None}))}")
        return
    for told in score(campaign, leave_recipe(campaign, there), str(options.device)):
        print(told)
    print(f"{out / 'recipe.toml'} is there. Next: name {out.name} in {out.parent / 'submission.toml'}, then")
    print("python build_kernel.py")


if __name__ == "__main__":
    sys.exit(main())
