"""How members of a recipe do on labelled clips: python -m soundpost.evaluation.evaluate --weights weights/compact ...

Prints lwlrap and accuracy of each member alone and of their mean. A member says nothing about clips that it was
trained on: name the member that never heard them with --members.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from soundpost.arguments import Parser
from soundpost.audio.decode import AudioSettings, decode
from soundpost.ensemble.recipes import parse_recipe
from soundpost.ensemble.weights_file import load_arrays
from soundpost.errors import SettingsError
from soundpost.evaluation.dataset import read_labels
from soundpost.evaluation.metrics import accuracy, lwlrap
from soundpost.exit_status import refusing
from soundpost.inference.in_memory import answer, spectrograms_of
from soundpost.registry import settings_from


@refusing
def main(arguments: Sequence[str] | None = None) -> int:
    """Print scores as the command line asks; exit status 0, or 2 with the reason."""
    parser = Parser(
        prog="soundpost evaluate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--weights", type=Path, required=True, help="folder of a recipe.toml and its files")
    parser.add_argument("--clips", type=Path, required=True, help="folder of the recordings")
    parser.add_argument("--csv", type=Path, required=True, help="fname,labels; several labels comma separated")
    parser.add_argument("--members", help="folds of the members, comma separated; default: all")
    parser.add_argument("--views", type=int, default=1, help="how many of the recipe's views (default 1)")
    options = parser.parse_args(arguments)
    _evaluate(options)
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
