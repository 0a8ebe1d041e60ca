"""All members of a plan: one for each fold, then the recipe, its out-of-fold answers and its scores."""

import csv
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from tqdm import tqdm

from soundpost.ensemble.recipe_folder import fold_file
from soundpost.errors import SettingsError
from soundpost.inference.in_memory import over_windows
from soundpost.models import MODELS
from soundpost.registry import build
from soundpost.training.initialise import initialise
from soundpost.training.inputs import INPUTS
from soundpost.training.inputs.material import Heard, Input, Material, Shared
from soundpost.training.measures import measured
from soundpost.training.noisy import NOISY
from soundpost.training.plan import StageSettings, ValidationSettings
from soundpost.training.state import discard, same_training
from soundpost.training.trainer import SAVE_EVERY, Hooks, Trainer
from soundpost.views.view import View

if TYPE_CHECKING:
    from soundpost.training.noisy.selection import Selection

History = list[dict[str, float | int | str]]
DIGEST = "training"  # key of a member's file under which the digest of its training stands
ONLY_MEMBER = "all"  # name of the member that hears every clip, where no fold is held out


@dataclass
class Campaign:
    """Everything that a plan's members share, and what becomes of them."""

    shared: Shared
    out: Path
    seed: int
    start: Path | None = None  # folder of another recipe, whose members are begun with as far as they fit
    is_time: Callable[[], bool] = field(default=lambda: False)
    save_every: float = SAVE_EVERY  # s between two checkpoints, at most
    on_epoch: Callable[[str, History], None] = field(default=lambda fold, rows: None)  # after each epoch of a member

    def __post_init__(self) -> None:
        """Ready the input, which members share."""
        plan = self.shared.plan
        self.input: Input = build(INPUTS, plan.input["name"], plan.input, "input", self.shared)

    @property
    def folds(self) -> tuple[str, ...]:
        """Names of the members that the plan has."""
        return self.shared.clips.table.fold_names or (ONLY_MEMBER,)

    def digest(self, fold: str) -> str:
        """sha256 of all that decides a member: plan, clips with labels and folds, seed, start, fold."""
        clips, plan = self.shared.clips, self.shared.plan
        rows = zip(clips.files, clips.copies, clips.sources, clips.folds, clips.truth.tolist(), strict=True)
        text = repr((plan.digest(), list(rows), self.seed, str(self.start or ""), fold))
        return hashlib.sha256(text.encode()).hexdigest()

    def member(self, fold: str) -> Path:
        """The file of a member, trained if it was not.

        Raises:
            Paused: it was time to stop.
            SettingsError: another training has left a member or a checkpoint there.
        """
        file, digest = fold_file(self.out, fold), self.digest(fold)
        if file.is_file() and is_whole(file, digest):
            return file
        self.out.mkdir(parents=True, exist_ok=True)
        member_seed = self.seed * 1009 + self.folds.index(fold)
        torch.manual_seed(member_seed)
        network = self.fresh_network()
        if self.start:
            begin_with(network, fold_file(self.start, fold))
        member = _Member(self, fold)
        hooks = Hooks(member.material, member.score, self.is_time, member.tell, save_every=self.save_every)
        trainer = Trainer(self.shared.plan, network, hooks, member_seed, digest)
        checkpoint = self.out / f"fold{fold}.checkpoint"
        kept = trainer.run(checkpoint, f"{self.shared.plan.name}/{fold}")
        arrays = {name: value.contiguous().cpu() for name, value in kept.state_dict().items()}
        aside = file.with_suffix(".part")
        save_file(arrays, aside, {DIGEST: digest})
        aside.replace(file)
        discard(checkpoint)
        return file

    def losses(self, fold: str) -> tuple[float, ...]:
        """Mean loss of each epoch of a member, as its history has it."""
        with history_file(self.out, fold).open(newline="", encoding="utf-8") as file:
            return tuple(float(row["loss"]) for row in csv.DictReader(file))

    def fresh_network(self) -> nn.Module:
        """The plan's network before training, on the device."""
        plan, classes = self.shared.plan, len(self.shared.clips.labels)
        network: nn.Module = build(MODELS, plan.model["name"], plan.model, "model", classes)
        initialise(network, plan.initialise)
        return network.to(self.shared.device)

    def answers(self, network: nn.Module, rows: Sequence[int]) -> np.ndarray:
        """Probabilities of clips through the recipe's first view, (rows, classes)."""
        shared = self.shared

        def predict(batch: Tensor, view: View) -> Tensor:
            with torch.inference_mode():
                outputs = network(view.prepare(batch.to(shared.device).float()))
            logits = outputs if isinstance(outputs, Tensor) else outputs[0]
            return logits.softmax(1) if shared.plan.activation == "softmax" else logits.sigmoid()

        known = [shared.spectrograms[row] for row in rows]
        return over_windows(predict, known, shared.view, len(shared.clips.labels))


class _Member:
    """What one member hears and how it is scored."""

    def __init__(self, campaign: Campaign, fold: str) -> None:
        self.campaign = campaign
        self.clips = campaign.shared.clips
        self.fold = fold
        self.held_out = [row for row in self.clips.scored if self.clips.folds[row] == fold]

    def material(self, stage: StageSettings, network: nn.Module, memory: dict[str, Any]) -> Material:
        rows = self.clips.heard_by(self.fold, stage.heard)
        truth = {row: self.clips.truth[row] for row in rows}
        for name, table in stage.select.items():
            key = f"{stage.name}/{name}"
            if key not in memory:
                memory[key] = self._selected(name, table, network.eval())
            known = memory[key]
            chosen = dict(zip(known["rows"].tolist(), known["truth"].numpy(), strict=True))
            rows = [row for row in rows if self.clips.sources[row] != name or row in chosen]
            truth |= chosen
        if memory:
            self._write_selected(memory)
        if not rows:
            raise SettingsError(
                f"stage {stage.name}: fold {self.fold} hears no clip of {', '.join(stage.heard) or 'any set'}. Give a "
                "second fold in the csv, or other [folds] in the plan."
            )
        sources = tuple(self.clips.sources[row] for row in rows)
        heard = Heard(tuple(rows), np.stack([truth[row] for row in rows]), sources)
        return self.campaign.input.material(heard, stage)

    def _selected(self, name: str, table: Mapping[str, Any], network: nn.Module) -> dict[str, Tensor]:
        """Rows and labels of a noisy set's clips, by what the network says now."""
        rows = [row for row, source in enumerate(self.clips.sources) if source == name]
        own = [row for row in self.clips.scored if row not in set(self.held_out)]
        rule = build(NOISY, table["name"], table, "rule for noisy clips", where=f"select.{name}")
        heard = self.clips.truth[own], self.campaign.answers(network, own)
        found: Selection = rule(self.clips.truth[rows], self.campaign.answers(network, rows), heard)
        return {"rows": torch.tensor(rows)[found.rows], "truth": torch.from_numpy(found.truth)}

    def _write_selected(self, memory: Mapping[str, Any]) -> None:
        """selected_FOLD.csv: which clips of which set a stage hears by its rule, and with which labels."""
        with (self.campaign.out / f"selected_{self.fold}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["stage", "set", "fname", "labels"])
            for key, known in memory.items():
                stage, _, name = key.rpartition("/")
                for row, truth in zip(known["rows"].tolist(), known["truth"].numpy(), strict=True):
                    labels = [label for label, there in zip(self.clips.labels, truth, strict=True) if there > 0]
                    writer.writerow([stage, name, self.clips.files[row], ",".join(labels)])

    def score(self, network: nn.Module, validation: ValidationSettings) -> float:
        """The held-out clips' score."""
        if not self.held_out:
            raise SettingsError("no fold is held out, so no epoch can be scored. Keep the last epoch, or name [folds].")
        found = self.campaign.answers(network, self.held_out)
        return measured(validation.measure, self.clips.truth[self.held_out], found, validation.batch)

    def tell(self, rows: History) -> None:
        """history_FOLD.csv, anew after every epoch; it is not worth more than the training that it tells of."""
        path = history_file(self.campaign.out, self.fold)
        try:
            with path.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)
        except OSError as error:
            tqdm.write(f"warning: {path} could not be written ({error.strerror}); the member does not need it")
        self.campaign.on_epoch(self.fold, rows)


def is_whole(file: Path, digest: str) -> bool:
    """Whether a member's file can be opened; one that is cut off is named, and trained again.

    Raises:
        SettingsError: it is of another training.
    """
    try:
        with safe_open(file, "pt") as known:
            found = (known.metadata() or {}).get(DIGEST, "none")
    except SafetensorError as error:
        tqdm.write(f"warning: {file} is damaged ({error}). The member is trained again.")
        return False
    same_training(file, found, digest)
    return True


def history_file(out: Path, fold: str) -> Path:
    """Where the epochs of a member are listed."""
    return out / f"history_{fold}.csv"


def begin_with(network: nn.Module, file: Path) -> None:
    """Take over arrays of another member whose names and shapes agree.

    Raises:
        SettingsError: there is no such member, or nothing of it fits.
    """
    if not file.is_file():
        raise SettingsError(f"--start {file.parent}: no {file.name} there. Name a recipe with the same folds.")
    own = network.state_dict()
    known = {key: value for key, value in load_file(file).items() if key in own and value.shape == own[key].shape}
    if not known:
        raise SettingsError(f"--start {file}: no array of it fits the network. Name a recipe of the same network.")
    network.load_state_dict({**own, **known})
