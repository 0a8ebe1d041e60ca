"""Plans trained once at a stretch and once with kill -9 again and again: python killed_runs.py FOLDER SEED [PLAN ...].

Prints a line of JSON for each plan: plan, kills, borders (kills round the end of a stage), stages and equal, whether
the member's file and its history (but for the seconds) are the same. A child is forked for every life of a training, so
that the libraries are imported once; it kills itself with SIGKILL when a count of events has run out. Events are the
beginnings of steps, of the ends of epochs, of checkpoints, the moment between a checkpoint's last byte and its
renaming, and both sides of the member's own file.
"""

import csv
import json
import math
import os
import random
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import tqdm
from reduced_plans import write_clips, write_reduced

from soundpost.training import state
from soundpost.training.__main__ import main
from soundpost.training.clips import Source, read_clips
from soundpost.training.plan import plan_names, read_plan
from soundpost.training.train import ONLY_MEMBER
from soundpost.training.trainer import Trainer

MOST_LIVES = 400


class Fate:
    """When a child dies."""

    def __init__(self, folder: Path, events: int) -> None:
        self.folder = folder  # where marks lie: each border kills once
        self.left = events  # events until death; below 0: none

    def event(self, *given: Any) -> None:
        """One more has happened."""
        self.left -= 1
        if self.left == 0:
            _die()

    def border(self, name: str) -> None:
        """A place that every training is killed at once."""
        mark = self.folder / name
        if not mark.exists():
            mark.touch()
            _die()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _led(own: Callable[..., Any], before: Callable[..., None], after: Callable[..., None] | None = None) -> Any:
    def both(*given: Any, **named: Any) -> Any:
        before(*given)
        found = own(*given, **named)
        if after is not None:
            after(*given)
        return found

    return both


def _long_ago(self: Trainer, *given: object) -> None:
    """The last checkpoint was long ago, so that every step leaves one."""
    self._saved_at = -math.inf


def _doom(fate: Fate) -> None:
    """Let everything that happens in this process count."""
    for name in ("_train", "_end_epoch"):
        setattr(Trainer, name, _led(getattr(Trainer, name), fate.event))
    Trainer._look_at_the_clock = _led(Trainer._look_at_the_clock, _long_ago)
    Trainer._end_stage = _led(
        Trainer._end_stage,
        lambda self, run: fate.border(f"before_{self.stage_number}"),
        lambda self, run: fate.border(f"after_{self.stage_number}"),
    )
    Trainer._begin_stage = _led(
        Trainer._begin_stage, fate.event, lambda self, restored: fate.border(f"begun_{self.stage_number}")
    )
    state.save = _led(state.save, fate.event)
    os.fsync = _led(os.fsync, fate.event)
    for module in [known for name, known in sys.modules.items() if name.startswith("soundpost.training")]:
        if hasattr(module, "save_file"):
            module.save_file = _led(module.save_file, fate.event, lambda *given: fate.border("written"))


def _life(words: list[str], fate: Fate) -> int:
    """Run the command in a child; 0 where it came to its end, -9 where it was killed."""
    if (child := os.fork()) == 0:
        log = (fate.folder / "log.txt").open("a", buffering=1)
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        status = 1
        try:
            _doom(fate)
            status = main(words)
        except (Exception, SystemExit):  # noqa: BLE001
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _left_by(out: Path, fold: str) -> tuple[bytes, list[list[str]]]:
    """The member's bytes, and its history without the seconds."""
    with (out / f"history_{fold}.csv").open(newline="") as file:
        rows = [[row[key] for key in sorted(row) if key != "seconds"] for row in csv.DictReader(file)]
    return (out / f"fold{fold}.safetensors").read_bytes(), rows


def compare(plan_name: str, folder: Path, sets: list[str], chance: random.Random) -> dict[str, object]:
    """One plan, one member, both ways."""
    path = write_reduced(plan_name, folder)
    own = path.parent
    plan = read_plan(path)
    given = {}
    for flag, text in zip(sets[::2], sets[1::2], strict=True):
        csv_path, _, clips = text.rpartition(":")
        given[flag.removeprefix("--")] = Source(Path(csv_path), Path(clips))
    fold = (read_clips(plan, given, own).table.fold_names or (ONLY_MEMBER,))[0]
    words = [str(path), *sets, "--folds", fold, "--device", "cpu", "--out"]
    never = Fate(own, -1)
    for number in range(len(plan.stages)):
        for name in ("before", "after", "begun"):
            (own / f"{name}_{number}").touch()
    (own / "written").touch()
    if status := _life([*words, str(own / "at_a_stretch")], never):
        raise RuntimeError(f"{plan_name}: status {status} at a stretch")
    for mark in [*own.glob("before_*"), *own.glob("after_*"), *own.glob("begun_*"), own / "written"]:
        mark.unlink()
    kills = 0
    while (status := _life([*words, str(own / "killed")], Fate(own, chance.randint(1, 12)))) != 0:
        kills += 1
        if status != -signal.SIGKILL or kills > MOST_LIVES:
            raise RuntimeError(f"{plan_name}: status {status} after {kills} kills")
    borders = len([*own.glob("before_*"), *own.glob("after_*"), *own.glob("begun_*"), *own.glob("written")])
    equal = _left_by(own / "at_a_stretch", fold) == _left_by(own / "killed", fold)
    return {"plan": plan_name, "kills": kills, "borders": borders, "stages": len(plan.stages), "equal": equal}


def run(folder: Path, seed: int, names: Sequence[str]) -> None:
    """These plans or all plans of these systems; all plans where nothing is named."""
    torch.set_num_threads(1)
    tqdm.tqdm.monitor_interval = 0  # no second thread: children are forked
    sets = write_clips(folder)
    for plan_name in plan_names():
        if not names or plan_name in names or plan_name.split("/")[0] in names:
            print(json.dumps(compare(plan_name, folder, sets, random.Random(f"{seed} {plan_name}"))), flush=True)


if __name__ == "__main__":
    run(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
