"""Trains the network of any recipe for a few epochs, one member for each fold, and writes the recipe: soundpost fit.

The template is a recipe.toml without name, labels and members. It alone says what the network sees: its [audio], its
front end and its first view, of whose windows every epoch shows one of each clip. It is a plan of one stage for the
trainer of soundpost.training.
"""

import runpy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn
from tqdm import tqdm

from soundpost.audio.decode import AudioSettings, decode
from soundpost.ensemble.recipe_folder import NewMember, write_recipe
from soundpost.ensemble.recipes import Recipe
from soundpost.ensemble.weights_file import load_arrays
from soundpost.errors import SettingsError
from soundpost.evaluation.dataset import Table, missing_files
from soundpost.evaluation.metrics import accuracy, lwlrap
from soundpost.front_ends import FRONT_ENDS
from soundpost.inference.in_memory import answer
from soundpost.models import MODELS
from soundpost.registry import build, settings_from
from soundpost.training.clips import VALIDATED, Clips
from soundpost.training.inputs.material import Shared
from soundpost.training.inputs.rows import Rows
from soundpost.training.interrupt import Paused
from soundpost.training.plan import Plan
from soundpost.training.train import Campaign
from soundpost.training.trainer import Hooks, Trainer

DIGITS = 6  # so many are written of scores and priors


@dataclass(frozen=True)
class LearnerSettings:
    """How long and how fast a network learns."""

    epochs: int = 10  # passes over the training clips, each of which shows one window
    batch: int = 16  # windows
    learning_rate: float = 1e-3  # at the top of the cycle
    weight_decay: float = 0.01  # AdamW's
    heads: tuple[float, ...] = (1.0,)  # weights of the losses of the network's outputs, the first that of prediction
    mixup: float = 0.0  # both parameters of the Beta distribution of shares; 0 mixes nothing
    longest: int = 0  # frames that windows are cut to, at a place drawn for each; 0 cuts nothing

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch", 1), ("weight_decay", 0), ("mixup", 0), ("longest", 0)):
            if getattr(self, name) < least:
                option = name.replace("_", "-")
                raise SettingsError(f"--{option} {getattr(self, name)}: at least {least} is needed.")
        if not self.learning_rate > 0:
            raise SettingsError(f"--learning-rate {self.learning_rate:g}: more than 0 is needed.")


@dataclass(frozen=True)
class Trained:
    """A recipe, and what its members say about clips that they never heard."""

    recipe: Recipe
    held_out: np.ndarray  # (clips, classes) by the first view; NaN where no member was asked
    losses: Mapping[str, Sequence[float]]  # fold -> mean of each epoch


def spectrograms_of(
    template: Mapping[str, Any], clips: Path, files: Sequence[str], is_time: Callable[[], bool] = lambda: False
) -> list[np.ndarray]:
    """What a template's [audio] and front end make of each file: (channels, bins, frames) float32.

    Raises:
        Paused: it was time to stop before the next file. Nothing of it is kept.
    """
    missing_files(clips, files)
    audio = settings_from(AudioSettings, template.get("audio", {}), "[audio]")
    front_end = build(FRONT_ENDS, template["front_end"]["name"], template["front_end"], "front end")
    found: list[np.ndarray] = []
    for file in tqdm(files, desc="spectrograms", unit="clip"):
        if is_time():
            raise Paused(f"spectrograms, {len(found)} of {len(files)} clips")
        found.append(front_end(torch.from_numpy(decode(clips / file, audio).waveform)[None])[0].numpy())
    return found


def plan_of(name: str, template: Mapping[str, Any], settings: LearnerSettings) -> Plan:
    """One stage of one cycle over windows of the template's first view."""
    activation = template.get("activation", "sigmoid")
    mix = {"one_of": [{"name": "mixup", "alpha": settings.mixup}]} if settings.mixup else {}
    loss = {"name": "cross_entropy" if activation == "softmax" else "bce", "heads": settings.heads}
    return Plan(
        name=name,
        audio=template.get("audio", {}),
        front_end=template.get("front_end", {}),
        model=template["model"],
        views=tuple(template.get("views", [{"name": "whole"}])),
        average=template.get("average", "probability"),
        activation=activation,
        input={"name": "windows", "longest": settings.longest},
        mix=mix,
        loss=loss,
        optimiser={"name": "adamw", "rate": settings.learning_rate, "decay": settings.weight_decay},
        norms="settle",
        stages=({"epochs": settings.epochs, "batch": settings.batch, "schedule": {"name": "one_cycle_v1"}},),
    )


def train(
    name: str,
    template: Mapping[str, Any],
    table: Table,
    spectrograms: Sequence[np.ndarray],
    out: Path,
    settings: LearnerSettings,
    folds: Sequence[str] = (),
    aliases: Mapping[str, str] | None = None,
    start: Path | None = None,
    n_scored: int = 0,
    seed: int = 0,
    device: str = "cpu",
    is_time: Callable[[], bool] = lambda: False,
) -> Trained:
    """Members of one recipe; those that a former call has finished are taken as they are.

    Args:
        name: what the recipe is called.
        template: recipe.toml without name, labels and members.
        table: labels, truth and folds of the clips.
        spectrograms: those of the clips, as spectrograms_of makes them.
        out: folder of recipe.toml, fold files and checkpoints; made if it is not there.
        settings: how long and how fast.
        folds: each member hears all folds but its own; empty: one member for every fold.
        aliases: label -> column of the submission.
        start: folder of a recipe whose members of the same folds are begun with, as far as names and shapes agree.
        n_scored: clips of its fold that a member is scored by, spread over the table; 0: all.
        seed: decides everything random.
        device: the one that trains and answers.
        is_time: whether to stop at the next step.

    Raises:
        Paused: it was time; the member's checkpoint is there.
        SettingsError: a fold that is not there, or what another training has left.
    """
    chosen = tuple(folds) or table.fold_names
    if unknown := sorted(set(chosen) - set(table.fold_names)):
        raise SettingsError(f"no fold {', '.join(unknown)}; folds are {', '.join(table.fold_names)}. Correct --only.")
    plan, clips = plan_of(name, template, settings), _clips_of(table)
    shared = Shared(plan, clips, torch.device(device), out / "features", spectrograms, is_time)
    campaign = Campaign(shared, out, seed, start)
    arrays = {fold: load_file(campaign.member(fold)) for fold in chosen}
    losses = {fold: campaign.losses(fold) for fold in chosen}
    priors = [round(float(prior), DIGITS) for prior in table.truth.mean(0)]
    whole = {**template, "priors": priors, "aliases": dict(aliases or {})}
    recipe = write_recipe(out, name, whole, table.labels, [NewMember(fold) for fold in chosen])
    held_out = _held_out(recipe, table, spectrograms, out, n_scored, device)
    scored = [NewMember(fold, scores=_scores(table, held_out, fold)) for fold in arrays]
    scored.sort(key=lambda member: -member.scores["lwlrap"])
    return Trained(write_recipe(out, name, whole, table.labels, scored), held_out, losses)


def _clips_of(table: Table) -> Clips:
    """The clips of a table as those of a plan: one set, each clip heard by the members of the other folds."""
    count = len(table.files)
    return Clips(
        paths=tuple(Path(file) for file in table.files),
        copies=("",) * count,
        sources=(VALIDATED,) * count,
        labels=table.labels,
        truth=table.truth,
        folds=table.folds,
        heard={VALIDATED: "other_folds"},
        files=table.files,
    )


def train_second_level(
    name: str,
    template: Mapping[str, Any],
    network: nn.Module,
    inputs: np.ndarray,
    truth: np.ndarray,
    settings: LearnerSettings,
) -> nn.Module:
    """A network that learns from answers of a first level.

    Args:
        name: for the progress bar.
        template: the second level's.
        network: freshly made.
        inputs: (clips, inputs, classes) float32.
        truth: (clips, classes) float32.
        settings: how long and how fast.
    """
    rows = Rows(inputs, truth, settings.batch)
    hooks = Hooks(lambda stage, known, memory: rows, lambda known, validation: 0.0)
    return Trainer(plan_of(name, template, settings), network, hooks, 0, "").run(None, name)


def make_network(template: Mapping[str, Any], n_classes: int) -> nn.Module:
    """The template's network with fresh weights."""
    network: nn.Module = build(MODELS, template["model"]["name"], template["model"], "model", n_classes)
    return network


def _held_out(
    recipe: Recipe, table: Table, spectrograms: Sequence[np.ndarray], out: Path, n_scored: int, device: str
) -> np.ndarray:
    held_out = np.full(table.truth.shape, np.nan)
    for member in recipe.members:
        rows = [row for row, fold in enumerate(table.folds) if fold == member.fold]
        rows = rows[:: max(1, len(rows) // n_scored)] if n_scored else rows
        arrays = load_arrays(out / member.file, member.sha256, member.name)
        held_out[rows] = answer(recipe, member, arrays, [spectrograms[row] for row in rows], 1, device)
    return held_out


def _scores(table: Table, held_out: np.ndarray, fold: str) -> dict[str, float]:
    asked = ~np.isnan(held_out).any(1)
    rows = np.array([own == fold for own in table.folds]) & asked
    truth, given = table.truth[rows], held_out[rows]
    return {"lwlrap": round(lwlrap(truth, given), DIGITS), "accuracy": round(accuracy(truth, given), DIGITS)}


if __name__ == "__main__":  # the same as soundpost fit
    runpy.run_module("soundpost.training.fit", run_name="__main__")
