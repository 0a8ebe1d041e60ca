"""Out-of-fold answers window by window, as a second level learns from them: out_of_fold_windows.safetensors."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from soundpost.ensemble.recipes import Member, Recipe
from soundpost.inference.activation import probabilities_of_array
from soundpost.inference.predictor import Predictor
from soundpost.views.batch import stack
from soundpost.views.view import View

FILE = "out_of_fold_windows.safetensors"
BATCH = 64  # windows shown at once


def answers_of_windows(
    recipe: Recipe,
    member: Member,
    arrays: Mapping[str, np.ndarray],
    spectrograms: Sequence[np.ndarray],
    view: View,
    device: str,
) -> list[Tensor]:
    """A member's probabilities for each window of each clip, (windows, classes) float32 each.

    Args:
        recipe: gives the activation.
        member: which fold.
        arrays: the member's, by name.
        spectrograms: one for each clip, (channels, bins, frames).
        view: cuts the windows; those of a clip are equally long.
        device: "cpu", "cuda", ...
    """
    predictor = Predictor(recipe, member, arrays, device, "")
    found = []
    for spectrogram in spectrograms:
        windows = view.windows(spectrogram.shape[-1])
        parts = []
        for begin in range(0, len(windows), BATCH):
            some = windows[begin : begin + BATCH]
            answers = predictor(stack([spectrogram] * len(some), some, view), view).double().cpu().numpy()
            is_logit = recipe.average == "logit"
            parts.append(probabilities_of_array(answers, recipe.activation) if is_logit else answers)
        found.append(torch.from_numpy(np.concatenate(parts)).float())
    return found


def write_windows(out: Path, answers: Sequence[Tensor]) -> None:
    """The file, clips in the order of out_of_fold.csv."""
    counts = torch.tensor([len(one) for one in answers])
    save_file({"probabilities": torch.cat(list(answers)), "windows": counts}, out / FILE)


def read_windows(out: Path) -> list[Tensor] | None:
    """Answers of each clip in the order of out_of_fold.csv, (windows, classes) each; None where there is no file."""
    if not (out / FILE).is_file():
        return None
    known = load_file(out / FILE)
    return list(known["probabilities"].split(known["windows"].tolist()))
