"""Trains a plan: soundpost train PLAN --curated CSV:DIR [--noisy CSV:DIR] --out weights/NAME

PLAN is a training.toml, or the name of a published one (see --list). Called again it goes on where it stopped.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from soundpost.arguments import Parser
from soundpost.errors import SettingsError
from soundpost.exit_status import refusing
from soundpost.resources.processes import die_with_parent
from soundpost.training.begin import start_file
from soundpost.training.checked import check_plan
from soundpost.training.clips import Clips, Source, read_clips
from soundpost.training.device import working_device
from soundpost.training.duration import seconds_of
from soundpost.training.finish import finish
from soundpost.training.forecast import listing
from soundpost.training.inputs.material import Shared
from soundpost.training.interrupt import Paused, interruptible
from soundpost.training.jobs import MEMBERS_ONLY, devices_of, run_jobs
from soundpost.training.plan import Plan, find_plan, read_plan
from soundpost.training.train import Campaign

COMMON = ("curated", "noisy", "epochs", "start", "seed", "save_every")  # options that every member's process is given


@refusing
def main(arguments: Sequence[str] | None = None) -> int:
    """Train as the command line says; exit status 0, also where a limit stopped it, or 2 with the reason."""
    parser = Parser(prog="soundpost train", description=__doc__)
    parser.add_argument("plan", nargs="?", help="training.toml, or the name of a published plan")
    parser.add_argument(
        "--list", action="store_true", help="name the published plans, what they cost, and a forecast of hours"
    )
    parser.add_argument("--curated", help="CSV:DIR, clips with trusted labels and their folder")
    parser.add_argument("--noisy", help="CSV:DIR, clips whose labels may be wrong")
    parser.add_argument("--out", type=Path, help="folder of the recipe, whose name is the recipe's")
    parser.add_argument("--folds", help="train these members alone, comma separated; default: all")
    parser.add_argument("--epochs", type=int, help="of every stage, instead of the plan's")
    parser.add_argument("--start", type=Path, help="recipe folder, or .safetensors or .pth file, to begin with")
    parser.add_argument("--limit", help="stop in good order after so long, such as 11h30m")
    parser.add_argument("--save-every", default="60s", help="at most so long between two checkpoints (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--device",
        default="cuda" if torch.cuda.is_available() else "cpu",
        help="cpu, cuda:0 ...; several members at once by cuda:0,cuda:1 or cpu:2",
    )
    parser.add_argument(MEMBERS_ONLY, action="store_true", help="train members and write no recipe")
    options = parser.parse_args(arguments)
    if options.list:
        print(listing(working_device(options.device)))
        return 0
    if options.members_only:
        die_with_parent()
    _train(options)
    return 0


def _train(options: argparse.Namespace) -> None:
    plan, clips = _asked_for(options)
    print(clips.summary(), flush=True)
    devices = devices_of(options.device)
    first, *_ = [working_device(name) for name in devices]
    ends = time.monotonic() + seconds_of(options.limit) if options.limit else None
    with interruptible() as was_interrupted:

        def is_time() -> bool:
            return was_interrupted() or (ends is not None and time.monotonic() > ends)

        shared = Shared(plan, clips, first, options.out / "features", is_time=is_time)
        save_every = seconds_of(options.save_every, "--save-every")
        campaign = Campaign(shared, options.out, options.seed, options.start, save_every=save_every)
        chosen = tuple(options.folds.split(",")) if options.folds else campaign.folds
        if unknown := sorted(set(chosen) - set(campaign.folds)):
            raise SettingsError(f"--folds {','.join(unknown)}: folds are {', '.join(campaign.folds)}. Correct --folds.")
        if len(devices) > 1:
            done, paused = _in_jobs(campaign, chosen, devices, options, was_interrupted, ends)
        else:
            done, paused = _one_by_one(campaign, chosen)
    if len(done) < len(chosen):
        print(f"{len(done)} of {len(chosen)} members done{paused}.")
        print(f"Go on with the same command: {_command(options)}")
    elif not options.members_only:
        everything = _command(argparse.Namespace(**{**vars(options), "folds": None}))
        finish(campaign, everything, first.type, options.curated.rpartition(":")[0])


def _one_by_one(campaign: Campaign, chosen: Sequence[str]) -> tuple[list[str], str]:
    """Members that are there, trained in this process until it is time, and where that was."""
    done: list[str] = []
    for fold in chosen:
        try:
            campaign.member(fold)
        except Paused as pause:
            return done, f"; paused in fold {fold}, {pause}"
        done.append(fold)
    return done, ""


def _in_jobs(
    campaign: Campaign,
    chosen: Sequence[str],
    devices: Sequence[str],
    options: argparse.Namespace,
    was_interrupted: Callable[[], bool],
    ends: float | None,
) -> tuple[list[str], str]:
    """Members that are there, trained in processes of their own until it is time, and where, if that was before."""
    campaign.out.mkdir(parents=True, exist_ok=True)
    for fold in chosen:  # what is of another training is refused before any process begins
        campaign.is_finished(fold)
        if options.start:
            start_file(options.start, fold)
    try:
        campaign.input.ready()
    except Paused as pause:
        return [fold for fold in chosen if campaign.is_finished(fold)], f"; paused in {pause}"
    given = {name.replace("_", "-"): getattr(options, name) for name in COMMON}
    words = {f"--{name}": str(value) for name, value in given.items() if value is not None}

    def left() -> float | None:
        return None if ends is None else ends - time.monotonic()

    return run_jobs(words, options.plan, campaign.out, chosen, devices, was_interrupted, left), ""


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
    check_plan(plan)
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
    names = (*COMMON, "out", "folds", "limit", "device")
    given = [f"--{name.replace('_', '-')} {value}" for name in names if (value := getattr(options, name)) is not None]
    return " ".join(["soundpost train", options.plan, *given])


if __name__ == "__main__":
    sys.exit(main())
