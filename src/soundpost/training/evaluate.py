"""How members of a recipe do on labelled clips: python -m soundpost.training.evaluate --weights weights/compact ...

Prints lwlrap and accuracy of each member alone and of their mean. A member says nothing about clips that it was
trained on: name the member that never heard them with --members.
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from soundpost.audio import AudioSettings, decode
from soundpost.errors import KitError, SettingsError
from soundpost.front_ends import FRONT_ENDS
from soundpost.metrics import accuracy, lwlrap
from soundpost.predict import Predictor, stack
from soundpost.recipes import Member, Recipe, parse_recipe
from soundpost.registry import pick, settings_from
from soundpost.training.data import read_labels
from soundpost.views import VIEWS
from soundpost.views.view import View, Window
from soundpost.weights import load_arrays

BATCH = 64  # windows shown at once


def made(registry: Mapping[str, str], name: str, settings: Mapping[str, Any], kind: str) -> Any:
    """An entry of a registry with its settings."""
    entry = pick(registry, name, kind)
    return entry(settings_from(entry.Settings, settings, f"[{kind}]"))


def spectrograms_of(recipe: Recipe, waveforms: Sequence[np.ndarray], device: torch.device) -> list[np.ndarray]:
    """What the recipe's front end makes of each waveform (samples,): (channels, bins, frames)."""
    front_end = made(FRONT_ENDS, recipe.front_end.name, recipe.front_end.settings, "front end")
    return [front_end(torch.from_numpy(waveform).to(device)[None])[0].cpu().numpy() for waveform in waveforms]


def answer(
    recipe: Recipe,
    member: Member,
    arrays: Mapping[str, np.ndarray],
    spectrograms: Sequence[np.ndarray],
    n_views: int,
    device: str = "cpu",
) -> np.ndarray:
    """A member's probabilities as the kernel gives them: mean over the recipe's first views, each over its windows.

    Args:
        recipe: whose activation and average are taken.
        member: which fold.
        arrays: the member's, by name.
        spectrograms: of the clips.
        n_views: how many of the recipe's views.
        device: "cpu", "cuda", ...

    Returns:
        (clips, classes) float64.
    """
    predictor = Predictor(recipe, member, arrays, device, "")
    views = [made(VIEWS, view.name, view.settings, "view") for view in recipe.views[:n_views]]
    total = np.mean([_through(predictor, spectrograms, view) for view in views], axis=0)
    return _activated(total, recipe) if recipe.average == "logit" else total


def _through(predictor: Predictor, spectrograms: Sequence[np.ndarray], view: View) -> np.ndarray:
    """Weighted mean of the answers to each clip's windows, (clips, classes) float64."""
    groups: dict[int, list[tuple[int, Window]]] = defaultdict(list)
    for clip, spectrogram in enumerate(spectrograms):
        for window in view.windows(spectrogram.shape[-1]):
            groups[window.frames].append((clip, window))
    total = np.zeros((len(spectrograms), len(predictor.recipe.labels)))
    weight = np.zeros((len(spectrograms), 1))
    for same_length in groups.values():
        for begin in range(0, len(same_length), BATCH):
            part = same_length[begin : begin + BATCH]
            batch = stack([spectrograms[clip] for clip, _ in part], [window for _, window in part], view)
            for (clip, window), row in zip(part, predictor(batch, view).double().cpu().numpy(), strict=True):
                total[clip] += window.weight * row
                weight[clip] += window.weight
    return total / weight


def _activated(logits: np.ndarray, recipe: Recipe) -> np.ndarray:
    tensor: Tensor = torch.from_numpy(logits)
    return (tensor.softmax(1) if recipe.activation == "softmax" else tensor.sigmoid()).numpy()


def main(arguments: Sequence[str] | None = None) -> int:
    """Print scores as the command line asks; exit status 0, or 2 with the reason."""
    parser = argparse.ArgumentParser(
        prog="python -m soundpost.training.evaluate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--weights", type=Path, required=True, help="folder of a recipe.toml and its files")
    parser.add_argument("--clips", type=Path, required=True, help="folder of the recordings")
    parser.add_argument("--csv", type=Path, required=True, help="fname,labels; several labels comma separated")
    parser.add_argument("--members", help="folds of the members, comma separated; default: all")
    parser.add_argument("--views", type=int, default=1, help="how many of the recipe's views (default 1)")
    options = parser.parse_args(arguments)
    try:
        _evaluate(options)
    except KitError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _evaluate(options: argparse.Namespace) -> None:
    path = options.weights / "recipe.toml"
    if not path.is_file():
        raise SettingsError(f"{path} is not there. Name the folder of a recipe.toml with --weights.")
    recipe = parse_recipe(path.read_text("utf-8"), str(path))
    chosen = options.members.split(",") if options.members else [member.fold for member in recipe.members]
    members = [member for member in recipe.members if member.fold in chosen]
    if unknown := sorted(set(chosen) - {member.fold for member in members}):
        known = ", ".join(member.fold for member in recipe.members)
        raise SettingsError(f"--members {','.join(unknown)}: the recipe has {known}. Correct --members.")
    files, truth = read_labels(options.csv, recipe.labels, recipe.aliases)
    audio = settings_from(AudioSettings, recipe.audio, "[audio]")
    waveforms = [decode(options.clips / file, audio).waveform for file in tqdm(files, desc="decoding", unit="clip")]
    spectrograms = spectrograms_of(recipe, waveforms, torch.device("cpu"))
    answers = []
    for member in members:
        arrays = load_arrays(options.weights / member.file, member.sha256, member.name)
        answers.append(answer(recipe, member, arrays, spectrograms, options.views))
        _print(member.name, truth, answers[-1])
    if len(members) > 1:
        _print(f"mean of {len(members)}", truth, np.mean(answers, axis=0))


def _print(name: str, truth: np.ndarray, given: np.ndarray) -> None:
    print(f"{name}: {len(truth)} clips, lwlrap {lwlrap(truth, given):.4f}, accuracy {accuracy(truth, given):.4f}")


if __name__ == "__main__":
    sys.exit(main())
