"""What plans cost: clips that a member is shown, and a forecast of the hours on this machine.

The forecast is one step of each kind of network, timed once and remembered in the user's cache folder.
"""

import io
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from tqdm import tqdm

from soundpost.training.clips import VALIDATED, Clips
from soundpost.training.inputs.material import Heard, Shared
from soundpost.training.member_file import digest_of
from soundpost.training.plan import Plan, SetSettings, StageSettings, find_plan, plan_names, read_plan, strict
from soundpost.training.sets.copies import COPIES
from soundpost.training.train import Campaign
from soundpost.training.trainer import Hooks, Trainer

CONTEST = {"curated": 4970, "noisy": 19815}  # clips of FSDKaggle2019, whose plans these are
CLASSES = 80
SECONDS = 8.0  # length of the sounds that are timed, about a curated clip's mean
FEW = 4  # clips of a step that is timed on a processor; elsewhere a batch, without which a device idles


@dataclass(frozen=True)
class Cost:
    """What a plan comes to on the contest's clips."""

    members: int
    draws: int  # clips that a member is shown, at most: training may stop earlier, selections may find fewer


def listing(device: torch.device) -> str:
    """Markdown: every published plan with its cost and the hours that it is likely to take."""
    plans = [(name, read_plan(find_plan(name))) for name in plan_names()]
    speeds = _speeds([plan for _, plan in plans], device)
    lines = ["| plan | members | draws a member, at most | hours a member | hours |", "|---|---|---|---|---|"]
    for (name, plan), seconds in zip(plans, speeds, strict=True):
        cost = cost_of(plan)
        hours = cost.draws * seconds / 3600
        lines.append(f"| {name} | {cost.members} | {cost.draws:,} | {hours:,.1f} | {hours * cost.members:,.0f} |")
    lines.append(
        f"\nDraws are of FSDKaggle2019's {CONTEST['curated']:,} curated and {CONTEST['noisy']:,} noisy clips. Hours "
        f"are a forecast for {device}: one step of each network, timed once; features and validation come on top.\n"
        f"{_remembered()} keeps the times; remove it to have them taken again, as on a calmer machine."
    )
    return "\n".join(lines)


def cost_of(plan: Plan) -> Cost:
    """Members of a plan, and what one is shown."""
    members, part = _folds(plan)
    draws = 0
    for number in range(len(plan.stages)):
        stage = plan.stage(number)
        draws += stage.epochs * _draws(stage, _counts(plan, stage, members, part))
    return Cost(members, draws)


def _folds(plan: Plan) -> tuple[int, float]:
    """Members, and the part of the curated clips that one hears."""
    name = plan.folds["name"]
    if name == "held_out":
        return 1, 1 - plan.folds.get("fraction", 0.2)
    if name == "none":
        return 1, 1.0
    count = int(plan.folds.get("count", 6 if name == "of_name" else 5))
    return count, 1 - 1 / count


def _counts(plan: Plan, stage: StageSettings, members: int, part: float) -> dict[str, int]:
    """Clips of each set that a member hears in a stage, at most."""
    counts = {}
    for name in stage.heard or tuple(plan.sets):
        settings = strict(SetSettings, plan.sets[name], f"[sets.{name}]")
        clips = CONTEST[settings.of] * 1.0
        for rule in settings.rules:
            clips *= 1 + len(rule.get("names", COPIES)) if rule["name"] == "copies" else 1
        if settings.heard == "own_fold":
            clips /= members
        elif settings.heard == "other_folds" and (name == VALIDATED or settings.folds):
            clips *= part
        chosen = stage.select.get(name, {})
        most = chosen.get("count", clips) if "each" not in chosen else chosen["each"] * CLASSES
        counts[name] = int(min(clips, most))
    return counts


def _draws(stage: StageSettings, counts: Mapping[str, int]) -> int:
    """Clips of an epoch."""
    sampler = stage.sampler or {}
    if draws := sampler.get("draws"):
        return int(draws)
    if sampler.get("name") == "weighted":
        return sum(int(count * sampler.get("weights", {}).get(name, 0.0)) for name, count in counts.items())
    return sum(counts.values())


def _speeds(plans: Sequence[Plan], device: torch.device) -> list[float]:
    """Seconds a draw of each plan, timed where nobody has timed its like on this machine."""
    path = _remembered()
    known: dict[str, float] = {}
    with suppress(OSError, ValueError):
        known = {key: float(value) for key, value in json.loads(path.read_text("utf-8")).items()}
    keys = [_family(plan, device) for plan in plans]
    missing = {key: plan for key, plan in zip(keys, plans, strict=True) if key not in known}
    for key, plan in tqdm(missing.items(), desc="timing a step of each network, once", unit="network", disable=None):
        known[key] = seconds_per_draw(plan, device)
        with suppress(OSError):  # a folder that cannot be written costs the time again, and nothing else
            path.parent.mkdir(parents=True, exist_ok=True)
            aside = path.with_name(f"{path.name}.{os.getpid()}")
            aside.write_text(json.dumps(known), encoding="utf-8")
            aside.replace(path)
    return [known[key] for key in keys]


def _remembered() -> Path:
    """Where speeds are kept from one call to the next."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "soundpost" / "training_speed.json"


def _family(plan: Plan, device: torch.device) -> str:
    """What plans have in common that take equally long for a draw on this machine."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device}, {torch.get_num_threads()}"
    stage = plan.stage(len(plan.stages) - 1)
    said = (plan.audio, plan.front_end, plan.model, plan.views[0], plan.input, plan.autocast, stage.augment, stage.mix)
    return digest_of(str(torch.__version__), name, *(json.dumps(one, sort_keys=True) for one in said))


def seconds_per_draw(plan: Plan, device: torch.device) -> float:
    """How long a clip takes in the second of two epochs of one step, by the plan's last stage."""
    stage = plan.stage(len(plan.stages) - 1)
    count = FEW if device.type == "cpu" else stage.batch
    table: dict[str, Any] = {**plan.stages[-1], "epochs": 2, "batch": count, "keep": "last"}
    table |= {"begin": "on", "heard": [VALIDATED], "select": {}, "sampler": {"name": "every_clip"}}
    brief = replace(plan, stages=(table,), average_decay=0.0)
    with tempfile.TemporaryDirectory() as folder, redirect_stderr(io.StringIO()):
        clips = _noise(Path(folder), count, int(plan.audio.get("sample_rate", 44100)))
        campaign = Campaign(Shared(brief, clips, device, Path(folder) / "features"), Path(folder) / "out", 0)
        heard = Heard(tuple(range(count)), clips.truth, (VALIDATED,) * count)
        hooks = Hooks(
            lambda stage, network, memory: campaign.input.material(heard, stage), lambda network, validation: 0.0
        )
        trainer = Trainer(brief, campaign.fresh_network(), hooks, 0, "")
        trainer.run(None, "")
    return float(trainer.history[-1]["seconds"]) / count


def _noise(folder: Path, count: int, rate: int) -> Clips:
    """So many sounds, of as many classes as the contest has."""
    random = np.random.default_rng(0)
    paths = tuple(folder / f"{number}.wav" for number in range(count))
    for path in paths:
        soundfile.write(path, 0.1 * random.standard_normal(int(SECONDS * rate)), rate, subtype="PCM_16")
    truth = np.eye(CLASSES, dtype=np.float32)[np.arange(count) % CLASSES]
    labels = tuple(f"class {number}" for number in range(CLASSES))
    heard = {VALIDATED: "other_folds"}
    names = tuple(path.name for path in paths)
    return Clips(paths, ("",) * count, (VALIDATED,) * count, labels, truth, ("",) * count, heard, names)
