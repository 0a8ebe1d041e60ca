"""A member's answers over spectrograms in memory, without cache, lanes or deadline."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from soundpost.audio.decode import AudioSettings
from soundpost.audio.sound import Sound, hear
from soundpost.ensemble.recipes import Member, Recipe
from soundpost.errors import ClipError
from soundpost.front_ends import FRONT_ENDS
from soundpost.inference.activation import probabilities_of_array
from soundpost.inference.fold_group import FoldGroup
from soundpost.inference.predictor import Predictor
from soundpost.registry import build, settings_from
from soundpost.views import VIEWS
from soundpost.views.batch import stack
from soundpost.views.view import View, Window

BATCH = 64  # windows shown at once


def spectrograms_of(recipe: Recipe, waveforms: Sequence[np.ndarray], device: torch.device) -> list[np.ndarray]:
    """What the recipe's front end makes of each waveform (samples,): (channels, bins, frames)."""
    front_end = build(FRONT_ENDS, recipe.front_end.name, recipe.front_end.settings, "front end")
    return [front_end(torch.from_numpy(waveform).to(device)[None])[0].cpu().numpy() for waveform in waveforms]


def heard_by(
    recipe: Recipe, sounds: Sequence[Sound], device: str
) -> tuple[list[int], list[np.ndarray], dict[int, ClipError]]:
    """Numbers of the sounds that a recipe can hear, their spectrograms, and the others with the reason."""
    waveforms = hear(sounds, settings_from(AudioSettings, recipe.audio, "[audio]"))
    unreadable = {i: found for i, found in enumerate(waveforms) if isinstance(found, ClipError)}
    readable = [(i, found) for i, found in enumerate(waveforms) if not isinstance(found, ClipError)]
    made = spectrograms_of(recipe, [waveform for _, waveform in readable], torch.device(device))
    return [i for i, _ in readable], made, unreadable


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
        recipe: gives the activation and the average.
        member: which fold.
        arrays: the member's, by name.
        spectrograms: one for each clip, each (channels, bins, frames).
        n_views: how many of the recipe's views.
        device: "cpu", "cuda", ...

    Returns:
        (clips, classes) float64.
    """
    return answers_by([Predictor(recipe, member, arrays, device, "")], spectrograms, n_views)[:, 0]


def answers_by(predictors: Sequence[Predictor], spectrograms: Sequence[np.ndarray], n_views: int) -> np.ndarray:
    """What answer() gives, by several members of one recipe that share batches: (clips, members, classes) float64."""
    recipe = predictors[0].recipe
    network = FoldGroup(predictors)
    views = [build(VIEWS, view.name, view.settings, "view") for view in recipe.views[:n_views]]

    def side_by_side(batch: Tensor, view: View) -> Tensor:
        return network(batch, view).flatten(1)

    width = len(predictors) * len(recipe.labels)
    flat = np.mean([over_windows(side_by_side, spectrograms, view, width) for view in views], axis=0)
    total = flat.reshape(len(spectrograms), len(predictors), len(recipe.labels))
    return probabilities_of_array(total, recipe.activation) if recipe.average == "logit" else total


def over_windows(
    network: Callable[[Tensor, View], Tensor], spectrograms: Sequence[np.ndarray], view: View, width: int
) -> np.ndarray:
    """Weighted mean over each clip's windows of whatever a network says about them.

    Args:
        network: stacked windows (windows, channels, bins, frames) and their view -> (windows, width).
        spectrograms: one for each clip, (channels, bins, frames).
        view: the rule that cuts windows.
        width: numbers in a row of what the network says.

    Returns:
        (clips, width) float64.
    """
    groups: dict[int, list[tuple[int, Window]]] = defaultdict(list)
    for clip, spectrogram in enumerate(spectrograms):
        for window in view.windows(spectrogram.shape[-1]):
            groups[window.frames].append((clip, window))
    total = np.zeros((len(spectrograms), width))
    weight = np.zeros((len(spectrograms), 1))
    for same_length in groups.values():
        for begin in range(0, len(same_length), BATCH):
            part = same_length[begin : begin + BATCH]
            batch = stack([spectrograms[clip] for clip, _ in part], [window for _, window in part], view)
            for (clip, window), row in zip(part, network(batch, view).double().cpu().numpy(), strict=True):
                total[clip] += window.weight * row
                weight[clip] += window.weight
    return total / weight
