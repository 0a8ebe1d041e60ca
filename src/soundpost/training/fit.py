"""Trains one member per fold and writes a recipe: python -m soundpost.training.fit --clips DIR --csv FILE --out DIR"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from tqdm import tqdm

from soundpost.arguments import Parser
from soundpost.audio.decode import AudioSettings, decode
from soundpost.ensemble.recipe_folder import fold_file
from soundpost.ensemble.recipes import Recipe
from soundpost.ensemble.weights_file import load_arrays
from soundpost.errors import SettingsError
from soundpost.evaluation.dataset import Table, read_table
from soundpost.evaluation.metrics import lwlrap
from soundpost.exit_status import refusing
from soundpost.front_ends import FRONT_ENDS
from soundpost.inference.in_memory import answer, spectrograms_of
from soundpost.models import MODELS
from soundpost.registry import build, settings_from
from soundpost.training.bank import Bank, build_bank
from soundpost.training.config import Plan, read_plan
from soundpost.training.out_of_fold import fold_scores, score_tables, write_out_of_fold, write_recipe
from soundpost.training.trainer import Trainer


@refusing
def main(arguments: Sequence[str] | None = None) -> int:
    """Train as the command line says; exit status 0, or 2 with the reason."""
    parser = Parser(prog="soundpost train", description=__doc__)
    parser.add_argument("--clips", type=Path, required=True, help="folder of the recordings")
    parser.add_argument("--csv", type=Path, required=True, help="fname,labels[,fold]; several labels comma separated")
    parser.add_argument("--out", type=Path, required=True, help="folder of the recipe, its weights and its report")
    parser.add_argument("--plan", type=Path, help="TOML file with settings, see soundpost/training/config.py")
    parser.add_argument("--folds", type=int, help="deal the clips into so many folds; default: the column fold")
    parser.add_argument("--only", help="train these folds alone, comma separated, and write no recipe")
    parser.add_argument("--epochs", type=int, help="instead of the plan's")
    parser.add_argument("--start", type=Path, help="folder whose members are trained further, each on its own folds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args(arguments)
    _fit(options)
    return 0


def _fit(options: argparse.Namespace) -> None:
    plan = read_plan(options.plan) if options.plan else Plan()
    if options.epochs:
        plan = replace(plan, fit=replace(plan.fit, epochs=options.epochs))
    table = read_table(options.csv, options.folds, options.seed)
    device = torch.device(options.device)
    audio = settings_from(AudioSettings, plan.audio, "[audio]")
    front_end = build(FRONT_ENDS, plan.front_end["name"], plan.front_end, "front end")
    waveforms = [
        decode(options.clips / file, audio).waveform for file in tqdm(table.files, desc="decoding", unit="clip")
    ]
    bank = build_bank(waveforms, table.truth, front_end, plan.fit.speeds, device)
    options.out.mkdir(parents=True, exist_ok=True)
    chosen = options.only.split(",") if options.only else table.fold_names
    if unknown := sorted(set(chosen) - set(table.fold_names)):
        raise SettingsError(f"--only {','.join(unknown)}: folds are {', '.join(table.fold_names)}. Correct --only.")
    for fold in chosen:
        file = fold_file(options.out, fold)
        trainer = make_trainer(plan, table, bank, fold, options.seed)
        if options.start:
            trainer.start_from(load_file(fold_file(options.start, fold), device=str(device)))
        network = trainer.run(options.out / f"fold{fold}.checkpoint", f"{plan.name}/{fold}")
        save_file({name: value.contiguous().cpu() for name, value in network.state_dict().items()}, file)
    if options.only:
        return
    recipe = write_recipe(options.out, plan, table, {}, {})
    spectrograms = spectrograms_of(recipe, waveforms, device)
    by_views = [_held_out(recipe, table, options, spectrograms, n_views) for n_views in range(1, len(recipe.views) + 1)]
    write_out_of_fold(options.out, table, by_views[-1])
    gains = {"views": [lwlrap(table.truth, held_out) for held_out in by_views]}
    write_recipe(options.out, plan, table, fold_scores(table, by_views[-1]), gains)
    for n_views, held_out in enumerate(by_views, 1):
        names = ", ".join(view.name for view in recipe.views[:n_views])
        print(f"views: {names}\n\n{score_tables(table, held_out)}")


def _held_out(
    recipe: Recipe, table: Table, options: argparse.Namespace, spectrograms: Sequence[np.ndarray], n_views: int
) -> np.ndarray:
    """Probabilities of every clip by the member that never heard it, (clips, classes)."""
    held_out = np.zeros(table.truth.shape)
    for member in recipe.members:
        rows = [row for row, fold in enumerate(table.folds) if fold == member.fold]
        arrays = load_arrays(options.out / member.file, member.sha256, member.name)
        theirs = [spectrograms[row] for row in rows]
        held_out[rows] = answer(recipe, member, arrays, theirs, n_views, options.device)
    return held_out


def make_network(plan: Plan, n_classes: int, device: torch.device) -> nn.Module:
    """The plan's network with fresh weights."""
    return build(MODELS, plan.model["name"], plan.model, "model", n_classes).to(device)


def make_trainer(plan: Plan, table: Table, bank: Bank, fold: str, seed: int) -> Trainer:
    """The trainer of that fold's member, which hears every other fold and never this one."""
    sources = torch.tensor([row for row, other in enumerate(table.folds) if other != fold], device=bank.powers.device)
    member_seed = seed * 1009 + table.fold_names.index(fold)
    torch.manual_seed(member_seed)
    network = make_network(plan, len(table.labels), bank.powers.device)
    frames_per_second = plan.front_end["sample_rate"] / plan.front_end["hop_length"]
    return Trainer(network, bank, sources, (plan.compose, plan.fit), frames_per_second, member_seed)


if __name__ == "__main__":
    sys.exit(main())
