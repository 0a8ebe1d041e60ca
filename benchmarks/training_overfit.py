"""Every plan at full size learns sixteen clips by heart: a network, loss or optimiser that is wired wrongly does not.

    python benchmarks/training_overfit.py [PLAN ...] [--list] [--steps 60] [--out runs/training/overfit]

Eight clips each of two of ESC-10's classes, batches of all sixteen, the plan's own network, input, loss and optimiser,
one stage at a constant rate, or in one cycle where the plan has cycles; whatever is drawn is off, except where a window
begins, and dropout. Statistics of norms settle: sixty steps are too few for running means of Keras' momentum. Kept for
each plan: losses of the first and the last step, the loss of the finished network on the clips beside the loss of the
fresh one, and lwlrap, of the windows that were shown and by the recipe's first view, as a kernel hears the clips. Cheap
plans come first. A plan that is there is not trained again; one that was cut off goes on from its checkpoint.
"""

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn
from training_at_hand import ESC10, OUT, campaign, keep, known, member

from soundpost.evaluation.dataset import read_frame
from soundpost.evaluation.metrics import lwlrap
from soundpost.training.clips import Source
from soundpost.training.criterion import Criterion
from soundpost.training.inputs.material import Heard
from soundpost.training.plan import LossSettings, find_plan, plan_names, read_plan, strict
from soundpost.training.train import ONLY_MEMBER, Campaign

CLASSES = ("Dog_bark", "Rooster")
EACH = 8
CYCLES = ("one_cycle_v1", "one_cycle_2", "linear_cycle")  # whose peaks are too high for a rate that stays
# What makes clips as long as a window, or values what the network sees; anything else is augmentation.
SHAPES = ("pad", "crop", "place", "adaptive_crop", "lighting")
UNDRAWN = {"crop": {"centre": True}, "lighting": {"probability": 0.0}}  # ways without chance
MILLISECONDS = {  # a draw, forward and back, roughly: only the order of the plans follows from it
    "ex4sperans/1d": 60,
    "filipmu/resnet18": 90,
    "erc2019/m0": 100,
    "erc2019/dcase": 130,
    "seventh/custom": 130,
    "simongrest": 165,
    "ex4sperans/2d": 210,
    "argus": 220,
    "filipmu/resnet34": 230,
    "erc2019": 320,
    "hires": 330,
}
DEAREST = 600  # ms a draw, all others


def cost(name: str) -> int:
    """Milliseconds a draw."""
    fits = [prefix for prefix in MILLISECONDS if name.startswith(prefix)]
    return MILLISECONDS[max(fits, key=len)] if fits else DEAREST


def plan(name: str, steps: int) -> dict[str, Any]:
    """The table of the plan in one stage over sixteen clips."""
    table = dataclasses.asdict(read_plan(find_plan(name)))
    first = table["stages"][-1]  # where there are several, the last trains everything
    for key in ("augment", "loss", "optimiser"):
        if first.get(key):
            table[key] = first[key]
    table["augment"] = [_undrawn(part) for part in table["augment"] if part["name"] in SHAPES]
    table["loss"] = {key: value for key, value in table["loss"].items() if key != "by_set"}
    table |= {"sets": {"curated": {}}, "folds": {"name": "none"}, "sampler": {"name": "every_clip"}, "mix": {}}
    schedule = first.get("schedule", {})
    if schedule.get("name") not in CYCLES:
        schedule = {"name": "constant"}
    if table["norms"] == "own":
        table["norms"] = "settle"
    table["stages"] = [{"epochs": steps, "batch": 2 * EACH, "schedule": schedule}]
    return table


def _undrawn(part: Mapping[str, Any]) -> dict[str, Any]:
    """A part as it is without chance where it has such a way: long clips are cut in the middle."""
    return {**part, **UNDRAWN.get(part["name"], {})}


def write_clips(out: Path) -> Source:
    """The csv of the sixteen clips."""
    frame = read_frame(ESC10.csv)
    rows = pd.concat([frame[frame["labels"] == name].head(EACH) for name in CLASSES])
    path = out / "sixteen.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows[["fname", "labels"]].to_csv(path, index=False)
    return Source(path, ESC10.folder)


def by_heart(made: Campaign, network: nn.Module) -> tuple[float, float]:
    """The plan's loss on the windows that were shown, and their lwlrap, in evaluation mode."""
    shared = made.shared
    stage = shared.plan.stage(0)
    rows = tuple(range(len(shared.clips.files)))
    material = made.input.material(Heard(rows, shared.clips.truth, shared.clips.sources), stage)
    generator = torch.Generator().manual_seed(0)
    batch = material.batch(material.epoch(0, generator)[0], 0, generator)
    with torch.no_grad():
        criterion = Criterion(strict(LossSettings, stage.loss or {}, "[loss]"), list(shared.plan.sets))
        outputs = network.eval()(batch.inputs)
        logits = outputs if isinstance(outputs, torch.Tensor) else outputs[0]
        return float(criterion(outputs, batch)), lwlrap(batch.targets.numpy(), logits.float().numpy())


def run(name: str, steps: int, out: Path) -> None:
    """One plan."""
    result = out / f"{name.replace('/', '_')}.json"
    if known(result):
        return
    made = campaign(plan(name, steps), {"curated": write_clips(out)}, out / "members" / name.replace("/", "_"))
    torch.manual_seed(0)
    fresh, _ = by_heart(made, made.fresh_network())
    began = time.process_time()
    network = member(made, ONLY_MEMBER)
    seconds = time.process_time() - began
    losses = made.losses(ONLY_MEMBER)
    clips = made.shared.clips
    learnt, of_windows = by_heart(made, network)
    found = {
        "plan": name,
        "steps": steps,
        "parameters": sum(value.numel() for value in network.parameters()),
        "first_loss": losses[0],
        "last_loss": losses[-1],
        "fresh_loss": fresh,
        "learnt_loss": learnt,
        "lwlrap": of_windows,
        "lwlrap_of_view": lwlrap(clips.truth, made.answers(network, clips.scored)),
        "cpu_seconds": round(seconds, 1),
    }
    keep(result, found)
    print(json.dumps(found), flush=True)


def main() -> int:
    """The plans of the command line, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plans", nargs="*")
    parser.add_argument("--list", action="store_true", help="name the plans in the order of their cost")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--out", type=Path, default=OUT / "overfit")
    options = parser.parse_args()
    ordered = sorted(options.plans or plan_names(), key=lambda name: (cost(name), name))
    if options.list:
        print("\n".join(f"{name}: about {cost(name)} ms a draw" for name in ordered))
        return 0
    torch.set_num_threads(1)
    for name in ordered:
        run(name, options.steps, options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
