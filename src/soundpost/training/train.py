"""All members of a plan: one for each fold, then the recipe, its out-of-fold answers and its scores."""

import csv
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from soundpost.ensemble.recipe_folder import fold_file
from soundpost.errors import SettingsError
from soundpost.inference.in_memory import over_windows
from soundpost.models import MODELS
from soundpost.registry import build
from soundpost.training.begin import begin_with, digest_of_start, start_file
from soundpost.training.history_picture import history_file, read_history
from soundpost.training.initialise import initialise
from soundpost.training.inputs import INPUTS
from soundpost.training.inputs.material import Heard, Input, Material, Shared
from soundpost.training.measures import measured
from soundpost.training.member_file import is_finished, write_member
from soundpost.training.noisy.choice import ChoiceOfNoisy
from soundpost.training.plan import StageSettings, ValidationSettings
from soundpost.training.state import discard
from soundpost.training.trainer import SAVE_EVERY, Hooks, Trainer
from soundpost.views.view import View

History = list[dict[str, float | int | str]]
ONLY_MEMBER = "all"  # name of the member that hears every clip, where no fold is held out


@dataclass
class Campaign:
    """Everything that a plan's members share, and what becomes of them."""

    shared: Shared
    out: Path
    seed: int
    start: Path | None = None  # another recipe's folder or a file of weights, begun with as far as they fit
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
        text = repr((plan.digest(), list(rows), clips.stretches, self.seed, digest_of_start(self.start, fold), fold))
        return hashlib.sha256(text.encode()).hexdigest()

    def is_finished(self, fold: str) -> bool:
        """Whether a member is there.

        Raises:
            SettingsError: another training has left one.
        """
        return is_finished(fold_file(self.out, fold), self.digest(fold))

    def member(self, fold: str) -> Path:
        """The file of a member, trained if it was not.

        Raises:
            Paused: it was time to stop.
            SettingsError: another training has left a member or a checkpoint there.
        """
        file, digest = fold_file(self.out, fold), self.digest(fold)
        if is_finished(file, digest):
            return file
        self.out.mkdir(parents=True, exist_ok=True)
        member_seed = self.seed * 1009 + self.folds.index(fold)
        torch.manual_seed(member_seed)
        network = self.fresh_network()
        if self.start:
            print(f"{self.start}: {begin_with(network, start_file(self.start, fold))} for fold {fold}", flush=True)
        member = _Member(self, fold)

        def anew(stage_number: int) -> nn.Module:
            torch.manual_seed(member_seed + 7919 * (1 + stage_number))
            return self.fresh_network()

        is_time = self.shared.is_time
        hooks = Hooks(member.material, member.score, is_time, member.tell, save_every=self.save_every, fresh=anew)
        trainer = Trainer(self.shared.plan, network, hooks, member_seed, digest)
        checkpoint = self.out / f"fold{fold}.checkpoint"
        kept = trainer.run(checkpoint, f"{self.shared.plan.name}/{fold}")
        write_member(file, kept, digest)
        discard(checkpoint)
        return file

    def losses(self, fold: str) -> tuple[float, ...]:
        """Mean loss of each epoch of a member, as its history has it."""
        return tuple(float(row["loss"]) for row in read_history(self.out, fold))

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
        choice = ChoiceOfNoisy(table, f"select.{name}")
        heard = self.clips.truth[own], self.campaign.answers(network, own)
        answers = self.campaign.answers(network, rows)
        found = choice(self.clips.truth[rows], answers, heard, self.campaign.folds.index(self.fold))
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
        """The score of the held-out clips, or of other curated clips."""
        rows = self.held_out
        if validation.clips == "heard":
            rows = [row for row in self.clips.scored if row not in set(rows)]
        if not rows:
            raise SettingsError("no fold is held out, so no epoch can be scored. Keep the last epoch, or name [folds].")
        found = self.campaign.answers(network, rows)
        return measured(validation.measure, self.clips.truth[rows], found, validation.batch)

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
