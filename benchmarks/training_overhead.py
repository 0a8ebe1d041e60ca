"""The trainer's own share: a step of its loop over bare forward, loss, backward and step on the same batches.

    python benchmarks/training_overhead.py [PLAN ...] [--batch 16] [--steps 12] [--out runs/training/overhead]

The trainer runs its loop as always; each time it has done a step, a second network with the same optimiser does one on
the same batch, so both take turns in one process on one thread. CPU seconds, medians of steps. "loop" is what the
trainer does besides making the batch; "whole" counts decoded clips becoming a batch too: reading, augmenting, mixing.
Whoever meets a new shape first has its kernels made, which took a third of a small network's step and was counted
against the trainer: so a third network, whose seconds are nobody's, sees every shape before both.
"""

import argparse
import copy
import dataclasses
import json
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from measuring import ROOT
from torch import Generator, nn
from training_at_hand import ESC10, OUT, campaign, keep

from soundpost.training.batch import Batch
from soundpost.training.criterion import Criterion
from soundpost.training.inputs.material import Heard, Material
from soundpost.training.memory_layout import layout_for
from soundpost.training.optimisers import OptimiserSettings, optimiser
from soundpost.training.plan import LossSettings, Plan, find_plan, read_plan, strict
from soundpost.training.train import Campaign
from soundpost.training.trainer import AUTOCAST, Hooks, Trainer

COMPACT = "weights/compact/plan.toml"
PLANS = (COMPACT, "argus/auxiliary_016", "erc2019/m0", "ex4sperans/1d_basic", "simongrest/six_folds", "qrfaction/v1mix")
N_CLIPS = 64
WARM_UP = 2  # steps that count for nothing


class Bare:
    """Forward, loss, backward and step, and nothing besides."""

    def __init__(self, plan: Plan, network: nn.Module) -> None:
        stage = plan.stage(0)
        self.layout = layout_for(network, torch.device("cpu"))
        self.network = copy.deepcopy(network).train().to(memory_format=self.layout)
        self.optimiser = optimiser(strict(OptimiserSettings, stage.optimiser or {}, "[optimiser]"), self.network)
        self.criterion = Criterion(strict(LossSettings, stage.loss or {}, "[loss]"), list(plan.sets))
        half = AUTOCAST[plan.autocast]
        self.half = torch.bfloat16 if half == torch.float16 else half

    def step(self, batch: Batch) -> None:
        """Learn from a batch."""
        inputs = batch.inputs
        if inputs.dim() == 4:
            inputs = inputs.contiguous(memory_format=self.layout)
        with torch.autocast("cpu", self.half, enabled=self.half is not None):
            outputs = self.network(inputs)
        loss = self.criterion(outputs, batch)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()


class Watched:
    """Batches of an input, the last of which is kept, and the seconds that each took to make.

    Args:
        own: the input.
        steps: how many batches an epoch has.
        first: sees a batch of every shape before it is handed out.
    """

    def __init__(self, own: Material, steps: int, first: Bare) -> None:
        self.own, self.steps, self.first = own, steps, first
        self.last: Batch | None = None
        self.seconds: list[float] = []
        self.nobodys: list[float] = []  # s that a new shape took
        self._shapes: set[torch.Size] = set()

    def epoch(self, epoch: int, generator: Generator) -> Sequence[Any]:
        """As many steps as are wanted, whatever the number of clips."""
        steps: list[Any] = []
        while len(steps) < self.steps:
            steps += self.own.epoch(epoch, generator)
        return steps[: self.steps]

    def batch(self, step: Any, epoch: int, generator: Generator) -> Batch:
        """One batch."""
        began = time.process_time()
        self.last = self.own.batch(step, epoch, generator)
        made = time.process_time()
        self.seconds.append(made - began)
        if self.last.inputs.shape not in self._shapes:
            self._shapes.add(self.last.inputs.shape)
            self.first.step(self.last)
        self.nobodys.append(time.process_time() - made)
        return self.last


def short(name: str, batch: int) -> dict[str, Any]:
    """The table of a plan in one epoch of curated clips at full size."""
    path = ROOT / name if name == COMPACT else find_plan(name)
    table = dataclasses.asdict(read_plan(path))
    stage = {key: value for key, value in table["stages"][0].items() if key not in ("heard", "best", "select")}
    stage |= {"epochs": 1, "batch": batch, "keep": "last", "slow_starts": 0}
    if stage.get("schedule", {}).get("name") == "plateau":
        stage["schedule"] = {"name": "constant"}
    stage["schedule"] = {key: 0 if key == "warm_up" else value for key, value in stage.get("schedule", {}).items()}
    if "by_set" in table["loss"]:
        table["loss"] = {**table["loss"], "by_set": {"curated": table["loss"]["by_set"]["curated"]}}
    if table["sampler"]["name"] == "by_source":
        table["sampler"] |= {"shares": {"curated": 1.0}}
    return {**table, "sets": {"curated": {}}, "folds": {"name": "none"}, "stages": [stage]}


def measured(made: Campaign, steps: int) -> dict[str, float]:
    """Medians of both, and their ratios."""
    shared = made.shared
    rows = tuple(range(N_CLIPS))
    heard = Heard(rows, shared.clips.truth[:N_CLIPS], shared.clips.sources[:N_CLIPS])
    network = made.fresh_network()
    bare, first = Bare(shared.plan, network), Bare(shared.plan, network)
    watched = Watched(made.input.material(heard, shared.plan.stage(0)), steps + WARM_UP, first)
    theirs: list[float] = []
    own: list[float] = []
    began = time.process_time()

    def take_turns() -> bool:
        nonlocal began
        own.append(time.process_time() - began)
        if len(theirs) < len(watched.seconds) and watched.last is not None:
            began = time.process_time()
            bare.step(watched.last)
            theirs.append(time.process_time() - began)
        began = time.process_time()
        return False

    hooks = Hooks(lambda *_: watched, lambda *_: 0.0, take_turns)
    trainer = Trainer(shared.plan, network, hooks, 0, "")
    began = time.process_time()
    trainer.run(None, shared.plan.name)
    whole = [step - nobodys for step, nobodys in zip(own[WARM_UP:-1], watched.nobodys[WARM_UP:], strict=True)]
    making, alone = watched.seconds[WARM_UP:], theirs[WARM_UP:]
    loop = [step - batch for step, batch in zip(whole, making, strict=True)]
    return {
        "bare_ms": 1000 * statistics.median(alone),
        "loop_ratio": statistics.median(part / ref for part, ref in zip(loop, alone, strict=True)),
        "whole_ratio": statistics.median(part / ref for part, ref in zip(whole, alone, strict=True)),
        "epoch_end_ms": 1000 * own[-1],
    }


def main() -> int:
    """The plans of the command line, or some of each kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plans", nargs="*", default=PLANS)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--out", type=Path, default=OUT / "overhead")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.plans:
        key = "compact" if name == COMPACT else name.replace("/", "_")
        made = campaign(short(name, options.batch), {"curated": ESC10}, options.out / "members" / key)
        found = {"plan": key, "batch": options.batch, "steps": options.steps, **measured(made, options.steps)}
        keep(options.out / f"{key}.json", found)
        print(json.dumps(found), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
