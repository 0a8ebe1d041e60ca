"""The only loop: stages of epochs of steps, resumed at any step as if never stopped."""

import hashlib
import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn
from tqdm import tqdm

from soundpost.errors import SettingsError
from soundpost.training import state as checkpoints
from soundpost.training.batch import Batch
from soundpost.training.inputs.material import Material
from soundpost.training.interrupt import Paused
from soundpost.training.memory_layout import layout_for
from soundpost.training.optimisers import freeze
from soundpost.training.plan import Plan, StageSettings, ValidationSettings
from soundpost.training.stage_run import StageRun
from soundpost.training.weight_average import WeightAverage

AUTOCAST = {"none": None, "bfloat16": torch.bfloat16, "float16": torch.float16}
SAVE_EVERY = 60.0  # s between two checkpoints, at most


@dataclass
class Hooks:
    """What a trainer asks of whoever runs it."""

    # What a stage learns from, by the network as it is; the dict is kept with the state.
    material: Callable[[StageSettings, nn.Module, dict[str, Any]], Material]
    score: Callable[[nn.Module, ValidationSettings], float]
    is_time: Callable[[], bool] = field(default=lambda: False)  # whether to stop at the next step
    on_epoch: Callable[[list[dict[str, float | int | str]]], None] = field(default=lambda rows: None)
    say: Callable[[str], None] = tqdm.write  # prints a line where no bar stands
    save_every: float = SAVE_EVERY
    fresh: Callable[[int], nn.Module] | None = None  # the network before training, for a stage that begins anew


def loss_scaler(device: torch.device, half: torch.dtype | None) -> torch.amp.GradScaler:
    """Scales losses where gradients are float16, whose small ones would vanish; elsewhere it does nothing."""
    return torch.amp.GradScaler(device.type, enabled=half == torch.float16)


class Trainer:
    """Trains one member; everything random follows from the seed and from how far training has come."""

    def __init__(self, plan: Plan, network: nn.Module, hooks: Hooks, seed: int, digest: str) -> None:
        """Everything that training depends on.

        Args:
            plan: stages and whatever they share.
            network: freshly made, on its device.
            hooks: where batches and scores come from.
            seed: this member's.
            digest: tells plan, clips, seed and fold; a checkpoint of another one is refused.
        """
        self.plan, self.hooks, self.seed, self.digest = plan, hooks, seed, digest
        self.device = next(network.parameters()).device
        self._layout = layout_for(network, self.device)
        self.network = network.to(memory_format=self._layout)  # type: ignore[call-overload]
        self.average = WeightAverage(network, plan.average_decay) if plan.average_decay else None
        self.history: list[dict[str, float | int | str]] = []
        self.stage_number, self.epoch, self.step = 0, 0, 0
        self.memory: dict[str, Any] = {}
        self._saved_at = time.monotonic()
        self._loss = torch.zeros((), device=self.device)
        if plan.autocast not in AUTOCAST:
            raise SettingsError(f"autocast = '{plan.autocast}'; known: {', '.join(AUTOCAST)}. Correct it.")
        self._half = AUTOCAST[plan.autocast]
        if self._half == torch.float16 and self.device.type == "cpu":
            self._half = torch.bfloat16
        self._scaler = loss_scaler(self.device, self._half)
        self._skipped = 0  # steps of the epoch that the scaler left out, because a gradient was not finite

    @property
    def kept(self) -> nn.Module:
        """The network that is scored and written: the average where there is one."""
        return self.average.network if self.average else self.network

    def run(self, checkpoint: Path | None, name: str) -> nn.Module:
        """The kept network after the last stage, in evaluation mode.

        Args:
            checkpoint: file to go on from where it exists, and to write at least as often as the hooks ask.
            name: the member's, for the progress bar.

        Raises:
            Paused: the hooks said that it is time; the checkpoint is there.
        """
        restored = None
        if checkpoint is not None:
            restored = checkpoints.latest(checkpoint, self.digest, self.device, self.hooks.say)
        if restored is not None:
            self._restore_place(restored)
            place = f"stage {self.stage_number + 1} of {len(self.plan.stages)}, epoch {self.epoch + 1}"
            self.hooks.say(f"{name} goes on from {place}, step {self.step}")
        while self.stage_number < len(self.plan.stages):
            run = self._begin_stage(restored)
            restored = None
            self._run_stage(run, checkpoint, name)
            self._end_stage(run, checkpoint)
            self.stage_number, self.epoch, self.step = self.stage_number + 1, 0, 0
            self._save(checkpoint, None)
        return self.kept.eval()

    def _begin_stage(self, restored: Mapping[str, Any] | None) -> StageRun:
        stage = self.plan.stage(self.stage_number)
        # What a stage selects is decided once, by the network as it is now, and kept with the state.
        material = self.hooks.material(stage, self.kept, self.memory)
        # A checkpoint between two stages is from before the beginning, too.
        if stage.begin == "anew" and (restored is None or not restored["run"]):
            self._begin_anew()
        run = StageRun(self.plan, stage, self.network, material)
        if restored is not None and restored["run"]:
            run.load_state_dict(restored["run"])
        return run

    def _begin_anew(self) -> None:
        """Forget everything but what was selected."""
        assert self.hooks.fresh is not None, "a stage that begins anew needs a network"
        fresh = self.hooks.fresh(self.stage_number).state_dict()
        self.network.load_state_dict(fresh)
        if self.average:
            self.average = WeightAverage(self.network, self.plan.average_decay)

    def _run_stage(self, run: StageRun, checkpoint: Path | None, name: str) -> None:
        stage = run.stage
        title = f"{name} {stage.name}" if len(self.plan.stages) > 1 else name
        with tqdm(total=stage.epochs, initial=self.epoch, desc=title, unit="epoch", mininterval=1) as bar:
            while self.epoch < stage.epochs and not run.best.is_over():
                began = time.monotonic()
                steps = run.material.epoch(self.epoch, self._generator(self.epoch))
                first = self.step
                self.network.train()
                for step in steps[first:]:
                    self._train(run, step)
                    self.step += 1
                    self._look_at_the_clock(run, checkpoint)
                self._end_epoch(run, len(steps), time.monotonic() - began)
                bar.set_postfix(self._told(), refresh=False)
                bar.update()
                self._look_at_the_clock(run, checkpoint)

    def _told(self) -> dict[str, str]:
        """What the bar says: the latest loss, and the latest score of held-out clips where any epoch was scored."""
        scores = [score for row in self.history if not math.isnan(score := float(row["score"]))]
        return {"loss": f"{self.history[-1]['loss']:.4f}"} | ({"score": f"{scores[-1]:.4f}"} if scores else {})

    def _look_at_the_clock(self, run: StageRun, checkpoint: Path | None) -> None:
        is_time = self.hooks.is_time()
        if checkpoint is not None and (is_time or time.monotonic() - self._saved_at > self.hooks.save_every):
            self._save(checkpoint, run)
        if is_time:
            place = f"epoch {self.epoch + 1} of {run.stage.epochs}, step {self.step}"
            is_over = self.epoch == run.stage.epochs
            raise Paused(f"stage {run.stage.name}, {'behind its last epoch' if is_over else place}")

    def _train(self, run: StageRun, step: Any) -> None:
        batches = self.epoch * run.material.steps + self.step
        batch = self._batch(run, step, self.step)
        run.optimiser.zero_grad(set_to_none=True)
        with run.statistics.during(batches):
            with torch.autocast(self.device.type, self._half, enabled=self._half is not None):
                outputs = self.network(batch.inputs)
            loss = run.criterion(outputs, batch)
            self._scaler.scale(loss).backward()
        self._step(run.optimiser)
        for module in self.network.modules():
            if hasattr(module, "constrain"):
                module.constrain()
        self._loss += loss.detach()
        if self.average:
            self.average.update()
        if run.schedule.BY == "batch":
            _next_rate(run)

    def _batch(self, run: StageRun, step: Any, number: int) -> Batch:
        generator = self._generator(self.epoch, number)
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
        batch = run.material.batch(step, self.epoch, generator)
        is_picture = batch.inputs.dim() == 4
        return batch.with_inputs(batch.inputs.contiguous(memory_format=self._layout)) if is_picture else batch

    def _one_more_epoch(self, run: StageRun, checkpoint: Path | None) -> Iterator[Tensor]:
        """Inputs of batches as a further epoch would show them; a stop leaves them to be shown again from the first."""
        for number, step in enumerate(run.material.epoch(self.epoch, self._generator(self.epoch))):
            self._look_at_the_clock(run, checkpoint)
            yield self._batch(run, step, number).inputs

    def _step(self, optimiser: torch.optim.Optimizer) -> None:
        """Move the weights, unless a scaled gradient is not finite; then only the scale falls."""
        if not self._scaler.is_enabled():
            optimiser.step()
            return
        before = self._scaler.get_scale()
        self._scaler.step(optimiser)
        self._scaler.update()
        self._skipped += self._scaler.get_scale() < before

    def _end_epoch(self, run: StageRun, steps: int, seconds: float) -> None:
        stage, score = run.stage, float("nan")
        rate = run.optimiser.param_groups[-1]["lr"]
        if run.looks_at_scores and (self.epoch + 1) % run.validation.every == 0:
            score = self.hooks.score(self.kept.eval(), run.validation)
            if stage.keep == "best" and run.best.is_better(score):
                run.best_weights = {key: value.clone() for key, value in self.kept.state_dict().items()}
            if stage.slow_starts and run.slow.is_slow(score):
                for group in run.optimiser.param_groups:
                    group["lr"] *= stage.slow_factor
        if run.schedule.BY == "score":
            _next_rate(run, score)
        elif run.schedule.BY == "epoch":
            _next_rate(run)
        self.history.append(
            {
                "stage": stage.name,
                "epoch": self.epoch + 1,
                "seconds": round(seconds, 3),
                "rate": float(rate),
                "loss": self._loss.item() / steps,
                "score": score,
                "scale": self._scaler.get_scale() if self._scaler.is_enabled() else 1.0,
                "skipped": self._skipped,
            }
        )
        self._loss.zero_()
        self._skipped = 0
        self.epoch, self.step = self.epoch + 1, 0
        self.hooks.on_epoch(self.history)

    def _end_stage(self, run: StageRun, checkpoint: Path | None) -> None:
        if run.stage.keep == "best":
            if not run.best_weights:
                raise SettingsError(
                    f"stage {run.stage.name}: no epoch scored above {run.best.settings.above} from epoch "
                    f"{run.best.settings.first} on. Train longer, or keep the last."
                )
            self.kept.load_state_dict(run.best_weights)
        if self.plan.norms == "again":
            update_bn(self._one_more_epoch(run, checkpoint), self.kept)
        if self.average:
            # The next stage goes on from what is kept.
            self.network.load_state_dict(self.average.network.state_dict())
        freeze(self.network, ())

    def _generator(self, *place: int) -> torch.Generator:
        """A generator for one place of this training, the same whenever it is asked for."""
        text = ",".join(map(str, (self.seed, self.stage_number, *place)))
        number = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
        return torch.Generator().manual_seed(number >> 1)

    def _save(self, checkpoint: Path | None, run: StageRun | None) -> None:
        """Put a checkpoint in its place; without a run, one between two stages."""
        if checkpoint is None:
            return
        state: dict[str, Any] = {
            "stage": self.stage_number,
            "epoch": self.epoch,
            "step": self.step,
            "network": self.network.state_dict(),
            "average": self.average.state_dict() if self.average else {},
            "scaler": self._scaler.state_dict(),
            "skipped": self._skipped,
            "memory": self.memory,
            "history": self.history,
            "loss": self._loss,
            "run": run.state_dict() if run else {},
        }
        checkpoints.save(checkpoint, state, self.digest, self.hooks.say)
        self._saved_at = time.monotonic()

    def _restore_place(self, state: Mapping[str, Any]) -> None:
        self.stage_number, self.epoch, self.step = state["stage"], state["epoch"], state["step"]
        self.network.load_state_dict(state["network"])
        if self.average:
            self.average.load_state_dict(state["average"])
        self.memory, self.history = state["memory"], state["history"]
        self._loss = state["loss"].to(self.device)
        self._scaler.load_state_dict(state["scaler"])
        self._skipped = state["skipped"]


def _next_rate(run: StageRun, *score: float) -> None:
    with warnings.catch_warnings():
        # Said by torch where the very first step was left out by the scaler; the rate goes on all the same.
        warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step")
        run.schedule.step(*score)
