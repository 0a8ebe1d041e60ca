"""soundpost ensemble second-level: networks that learn from answers of first-level recipes, found by random search.

Source: systems specifications of argus and qrfaction.
"""

import argparse
import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from soundpost.ensemble.recipe_folder import NewMember, write_recipe
from soundpost.errors import SettingsError
from soundpost.evaluation.metrics import lwlrap
from soundpost.models import MODELS
from soundpost.registry import build
from soundpost.training.ensembles.chosen import summary
from soundpost.training.ensembles.submission import FIRST_LEVEL
from soundpost.training.ensembles.tables import Answers, read_answers
from soundpost.training.ensembles.window_rows import WindowRows
from soundpost.training.member_file import digest_of, is_finished, write_member
from soundpost.training.out_of_fold import write_table
from soundpost.training.plan import Plan
from soundpost.training.search import ARGUS_SECOND_LEVEL, Range, trial
from soundpost.training.state import discard
from soundpost.training.trainer import Hooks, Trainer

DIGITS = 6  # so many are written of scores and priors


@dataclass(frozen=True)
class Kind:
    """One of the published second levels."""

    ranges: Mapping[str, Range]  # what a trial draws
    optimiser: Mapping[str, Any]
    epochs: int
    patience: int  # epochs without a better score after which a member stops
    draws: int  # clips of an epoch, with replacement; 0: every clip once
    mean_last: bool  # whether the inputs' mean is one more input


KINDS: dict[str, Kind] = {
    "argus_fcnet": Kind(ARGUS_SECOND_LEVEL, {"name": "adam"}, 300, 20, 32768, False),
    "qrfaction_stacker": Kind(
        {"lr": 1e-4, "batch_size": 40},
        {"name": "nadam", "eps": 1e-7, "momentum_decay": 4e-3},
        1000,
        15,
        0,
        True,
    ),
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    add = parser.add_argument
    add("recipes", nargs="+", type=Path, metavar="weights/NAME", help="folders of first-level recipes, in this order")
    add("--csv", type=Path, required=True, help="fname,labels to learn; clips must have a fold in the recipes")
    add("--out", type=Path, required=True, help="weights/NAME; recipes become weights/NAME_NUMBER of the trial")
    add("--network", choices=sorted(KINDS), default="argus_fcnet", help="(default: argus_fcnet)")
    add("--trials", type=int, default=20, help="settings that are tried (default: 20)")
    add("--keep", type=int, default=3, help="best trials that become recipes (default: 3)")
    add("--epochs", type=int, help="at most, instead of the published number")
    add("--draws", type=int, help="clips of an epoch, instead of the published number")
    add("--seed", type=int, default=0)


def main(options: argparse.Namespace) -> None:
    """Search, and write the recipes of the best trials.

    Raises:
        SettingsError: recipes, answers or csv cannot be used.
    """
    for name in ("trials", "keep", "epochs", "draws"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise SettingsError(f"--{name} {value}: at least 1 is needed.")
    given = read_answers(options.recipes, options.csv)
    if beneath := [recipe.name for recipe in given.recipes if recipe.front_end.name == FIRST_LEVEL]:
        raise SettingsError(f"{', '.join(beneath)} is a second level itself. Name first-level recipes alone.")
    if len(set(given.folds) - {""}) < 2:
        raise SettingsError("a second level is scored on folds, and there is but one. Train recipes with several.")
    print(summary(given))
    learner = Learner(given, options)
    print(f"learns from {'windows' if learner.has_windows else 'whole clips'} of {len(given.recipes)} recipes\n")
    print("| trial | lwlrap | settings |\n|---|---|---|")
    trials = 1 if len(learner.searched) == 0 else options.trials
    found = [learner.tried(number) for number in range(trials)]
    ranked = sorted(range(trials), key=lambda number: -found[number].score)[: options.keep]
    names = [learner.keep(number, found[number]) for number in ranked]
    print(f"\nkept: {', '.join(names)} in {options.out.parent}")
    folders = " ".join(str(folder) for folder in [*options.recipes, *(options.out.parent / name for name in names)])
    print(f"Next: soundpost ensemble choose {folders} --csv {options.csv}")


@dataclass(frozen=True)
class Trial:
    """One of the settings, trained on every fold."""

    score: float  # lwlrap of all clips by the member that did not learn from them
    answers: np.ndarray  # (clips, classes), as prediction will give them
    model: Mapping[str, Any]


class Learner:
    """Trains one member for each fold and trial; those that are there are taken as they are."""

    def __init__(self, given: Answers, options: argparse.Namespace) -> None:
        self.given, self.options = given, options
        self.kind = KINDS[options.network]
        numbers = range(len(given.recipes))
        windows = given.window_inputs(numbers)
        self.has_windows = windows is not None
        self.shown = self._with_mean(torch.from_numpy(given.inputs(numbers)))
        self.windows = [self._with_mean(one) for one in windows] if windows else list(self.shown[:, None])
        # A published member is validated on the mean of all windows; prediction shows it the recipes' own answers.
        self.validated = torch.stack([one.mean(0) for one in self.windows])
        self.truth = torch.from_numpy(given.truth)
        self.folds = sorted(set(given.folds) - {""})

    @property
    def searched(self) -> list[str]:
        """Settings that differ from trial to trial."""
        return [key for key, limits in self.kind.ranges.items() if not isinstance(limits, int | float)]

    def _with_mean(self, inputs: Tensor) -> Tensor:
        """Inputs (rows, recipes, classes), the last one their mean where the network wants it."""
        return torch.cat([inputs, inputs.mean(1, keepdim=True)], 1) if self.kind.mean_last else inputs

    def tried(self, number: int) -> Trial:
        """A trial, from its number alone."""
        drawn = trial(number, self.kind.ranges)
        model = self._model(drawn)
        plan = self._plan(drawn, model)
        by_tiles, as_shown = np.zeros(self.truth.shape), np.zeros(self.truth.shape)
        for place, fold in enumerate(self.folds):
            rows = [row for row, own in enumerate(self.given.folds) if own == fold]
            network = self._member(number, plan, place, rows)
            with torch.inference_mode():
                by_tiles[rows] = network(self.validated[rows]).sigmoid().numpy()
                as_shown[rows] = network(self.shown[rows]).sigmoid().numpy()
        score = lwlrap(self.given.truth, by_tiles)
        said = ", ".join(f"{key} {value:.3g}" for key, value in drawn.items())
        print(f"| {number} | {score:.4f} | {said} |", flush=True)
        self._log(number, score, drawn)
        return Trial(score, as_shown, model)

    def keep(self, number: int, found: Trial) -> str:
        """Make a recipe of a trial; its name."""
        given, name = self.given, f"{self.options.out.name}_{number}"
        folder = self.options.out.parent / name
        members = []
        for fold in self.folds:
            rows = [row for row, own in enumerate(given.folds) if own == fold]
            arrays = {key: value.numpy() for key, value in self._kept(number, fold).items()}
            score = {"lwlrap": round(lwlrap(given.truth[rows], found.answers[rows]), DIGITS)}
            members.append(NewMember(fold, arrays, score))
        members.sort(key=lambda member: -member.scores["lwlrap"])
        front_end: dict[str, Any] = {"name": FIRST_LEVEL, "inputs": [recipe.name for recipe in given.recipes]}
        if self.kind.mean_last:
            front_end["mean_last"] = True
        table = {
            "average": "probability",
            "activation": "sigmoid",
            "priors": [round(float(prior), DIGITS) for prior in given.truth.mean(0)],
            "aliases": dict(given.recipes[0].aliases),
            "front_end": front_end,
            "model": dict(found.model),
        }
        write_recipe(folder, name, table, given.labels, members)
        write_table(folder / "out_of_fold.csv", given.files, given.folds, given.labels, found.answers)
        return name

    def _model(self, drawn: Mapping[str, Any]) -> dict[str, Any]:
        _, inputs, classes = self.shown.shape
        if self.options.network == "qrfaction_stacker":
            return {"name": self.options.network, "n_inputs": inputs}
        columns = inputs * classes
        sizes = {key: drawn[key] for key in ("base_size", "p_dropout")}
        # A gate of few columns is one wide at least.
        sizes["reduction_scale"] = min(drawn["reduction_scale"], columns)
        return {"name": self.options.network, "in_channels": columns, **sizes}

    def _plan(self, drawn: Mapping[str, Any], model: Mapping[str, Any]) -> Plan:
        schedule: dict[str, Any] = {"name": "constant"}
        if "patience" in drawn:
            schedule = {"name": "plateau", "patience": drawn["patience"], "factor": drawn["factor"]}
        stage = {
            "epochs": self.options.epochs or self.kind.epochs,
            "batch": drawn["batch_size"],
            "schedule": schedule,
            "keep": "best",
            "best": {"patience": self.kind.patience},
        }
        optimiser = {**self.kind.optimiser, "rate": drawn["lr"]}
        return Plan(name=self.options.out.name, model=model, loss={"name": "bce"}, optimiser=optimiser, stages=(stage,))

    def _file(self, number: int, fold: str) -> Path:
        return self.options.out / f"trial_{number}" / f"fold{fold}.safetensors"

    def _member(self, number: int, plan: Plan, place: int, held_out: list[int]) -> nn.Module:
        """The network of a fold, trained if it was not, in evaluation mode."""
        fold, given = self.folds[place], self.given
        torch.manual_seed(self.options.seed * 1009 + number * 31 + place)
        network: nn.Module = build(MODELS, plan.model["name"], plan.model, "model", len(given.labels)).eval()
        draws = self.kind.draws if self.options.draws is None else self.options.draws
        digest = digest_of(
            plan.digest(), draws, given.files, given.folds, given.truth, self.options.seed, fold, *self.windows
        )
        file = self._file(number, fold)
        if not is_finished(file, digest):
            file.parent.mkdir(parents=True, exist_ok=True)
            heard = [row for row, own in enumerate(given.folds) if own not in ("", fold)]
            rows = WindowRows([self.windows[row] for row in heard], self.truth[heard], plan.stage(0).batch, draws)

            def score(known: nn.Module) -> float:
                with torch.inference_mode():
                    return lwlrap(given.truth[held_out], known(self.validated[held_out]).numpy())

            hooks = Hooks(lambda stage, known, memory: rows, lambda known, validation: score(known))
            untrained = {key: value.clone() for key, value in network.state_dict().items()}
            start = score(network)
            trainer = Trainer(plan, network, hooks, self.options.seed * 1009 + number * 31 + place, digest)
            kept = trainer.run(file.with_suffix(".checkpoint"), f"trial {number}/{fold}")
            if score(kept) <= start:  # the untrained network is a candidate
                kept.load_state_dict(untrained)
            write_member(file, kept, digest)
            discard(file.with_suffix(".checkpoint"))
        network.load_state_dict(self._kept(number, fold))
        return network.eval()

    def _kept(self, number: int, fold: str) -> dict[str, Tensor]:
        return load_file(self._file(number, fold))

    def _log(self, number: int, score: float, drawn: Mapping[str, Any]) -> None:
        """A line of trials.csv, once for each trial."""
        path = self.options.out / "trials.csv"
        rows: dict[str, list[str]] = {}
        if path.is_file():
            with path.open(newline="", encoding="utf-8") as file:
                rows = {row[0]: row for row in list(csv.reader(file))[1:]}
        rows[str(number)] = [str(number), f"{score:.{DIGITS}f}", *(repr(value) for value in drawn.values())]
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["trial", "lwlrap", *drawn])
            writer.writerows(rows[key] for key in sorted(rows, key=int))
