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

from soundpost.audio import AudioSettings, decode
from soundpost.errors import KitError, SettingsError
from soundpost.front_ends import FRONT_ENDS
from soundpost.metrics import lwlrap
from soundpost.models import MODELS
from soundpost.recipes import Recipe
from soundpost.registry import pick, settings_from
from soundpost.training.data import Bank, Table, build_bank, read_table
from soundpost.training.evaluate import answer, made, spectrograms_of
from soundpost.training.member import Trainer
from soundpost.training.plan import Plan, read_plan
from soundpost.training.report import fold_scores, score_tables, write_out_of_fold, write_recipe
from soundpost.weights import load_arrays


def main(arguments: Sequence[str] | None = None) -> int:
    """Train as the command line says; exit status 0, or 2 with the reason."""
    parser = argparse.ArgumentParser(prog="python -m soundpost.training.fit", description=__doc__)
    parser.add_argument("--clips", type=Path, required=True, help="folder of the recordings")
    parser.add_argument("--csv", type=Path, required=True, help="fname,labels[,fold]; several labels comma separated")
    parser.add_argument("--out", type=Path, required=True, help="folder of the recipe, its weights and its report")
    parser.add_argument("--plan", type=Path, help="TOML file with settings, see soundpost/training/plan.py")
    parser.add_argument("--folds", type=int, help="deal the clips into so many folds; default: the column fold")
    parser.add_argument("--only", help="train these folds alone, comma separated, and write no recipe")
    parser.add_argument("--epochs", type=int, help="instead of the plan's")
    parser.add_argument("--start", type=Path, help="folder whose members are trained further, each on its own folds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args(arguments)
    try:
        _fit(options)
    except KitError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _fit(options: argparse.Namespace) -> None:
    plan = read_plan(options.plan) if options.plan else Plan()
    if options.epochs:
        plan = replace(plan, fit=replace(plan.fit, epochs=options.epochs))
    table = read_table(options.csv, options.folds, options.seed)
    device = torch.device(options.device)
    audio = settings_from(AudioSettings, plan.audio, "[audio]")
    settings = {key: value for key, value in plan.front_end.items() if key != "name"}
    front_end = made(FRONT_ENDS, plan.front_end["name"], settings, "front end")
    waveforms = [
        decode(options.clips / file, audio).waveform for file in tqdm(table.files, desc="decoding", unit="clip")
    ]
    bank = build_bank(waveforms, table.truth, front_end, plan.fit.speeds, device)
    options.out.mkdir(parents=True, exist_ok=True)
    chosen = options.only.split(",") if options.only else table.fold_names
    if unknown := sorted(set(chosen) - set(table.fold_names)):
        raise SettingsError(f"--only {','.join(unknown)}: folds are {', '.join(table.fold_names)}. Correct --only.")
    for fold in chosen:
        file = options.out / f"fold{fold}.safetensors"
        trainer = make_trainer(plan, table, bank, fold, options.seed)
        if options.start:
            trainer.start_from(load_file(options.start / f"fold{fold}.safetensors", device=str(device)))
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
    model = pick(MODELS, plan.model["name"], "model")
    settings = {key: value for key, value in plan.model.items() if key != "name"}
    return model(settings_from(model.Settings, settings, "[model]"), n_classes).to(device)


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
