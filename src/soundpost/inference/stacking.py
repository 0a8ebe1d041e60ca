"""Second-level recipes made into functions that a blend can call; the only place where a blend meets torch."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from soundpost.ensemble.blend import Blend, Network, without
from soundpost.ensemble.columns import map_columns
from soundpost.ensemble.recipes import Member, Recipe, Submission
from soundpost.errors import SettingsError, WeightsError
from soundpost.inference.activation import probabilities_of
from soundpost.models import MODELS
from soundpost.registry import build

ROWS = 256  # clips in one forward pass


class Ready(NamedTuple):
    """A blend that can be called, and what it had to do without."""

    blend: Blend
    skipped: dict[str, str]  # second-level member -> reason


def ready_blend(
    submission: Submission,
    members: Sequence[str],
    columns: Sequence[str],
    load: Callable[[Recipe, Member], Mapping[str, np.ndarray]],
) -> Ready:
    """The blend of a submission for the members of one run, its second level loaded.

    A second-level member whose weights cannot be used is left out and named; the first level is blended all the same.

    Args:
        submission: gives the [blend] and the second level.
        members: first-level names ("recipe/fold") of this run, in the order of its table; they may be a part of all.
        columns: the submission's, in order.
        load: the arrays of one member.

    Raises:
        SettingsError: a label that is no column, or a blend that cannot be made of these recipes.
    """
    everyone = {member.name for recipe in submission.recipes for member in recipe.members}
    kept = {*members, *(name.split("/")[0] for name in members)}
    removed = {*everyone, *(recipe.name for recipe in submission.recipes)} - kept
    inputs = {
        stage.get("recipe"): len(stage.get("inputs", ())) for stage in submission.blend.settings.get("stages", ())
    }
    networks: dict[str, list[Network]] = {}
    skipped: dict[str, str] = {}
    for recipe in submission.second_level:
        for member in recipe.members:
            try:
                function = _function(recipe, member, columns, load(recipe, member), inputs.get(recipe.name, 0))
                networks.setdefault(recipe.name, []).append(function)
            except WeightsError as error:
                skipped[member.name] = str(error)
        if recipe.name not in networks:
            removed.add(recipe.name)
    return Ready(Blend(without(submission.blend, removed), members, networks), skipped)


def _function(
    recipe: Recipe, member: Member, columns: Sequence[str], arrays: Mapping[str, np.ndarray], n_inputs: int
) -> Network:
    mapped = map_columns(recipe, columns)
    absent = sorted(set(recipe.labels) - {recipe.labels[number] for number in mapped.classes})
    if absent:
        raise SettingsError(
            f"second level {recipe.name}: {len(absent)} labels are no columns of the submission ({absent[0]}, ...). "
            "Use the sample_submission.csv of its competition, or add [aliases]."
        )
    order = list(mapped.columns)
    n_classes = len(recipe.labels)
    model: nn.Module = build(MODELS, recipe.model.name, recipe.model.settings, "model", n_classes, where=recipe.name)
    try:
        model.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
        answer = _answer(model, recipe.activation)
        if n_inputs:
            answer(np.zeros((1, n_inputs, len(order)), np.float32))
    except RuntimeError as error:
        raise WeightsError(
            f"second level {member.name}: {error}. Its network must fit its weights and the {n_inputs} inputs of its "
            "stage of the blend; correct recipe.toml or submission.toml."
        ) from error

    return _Fold(member.name, order, answer)


class _Fold:
    """One fold of a second level, as a blend calls it."""

    def __init__(self, name: str, columns: Sequence[int], answer: Network) -> None:
        self.name = name
        self._columns = list(columns)
        self._answer = answer

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Probabilities (clips, columns) of rows (clips, inputs, columns)."""
        result: np.ndarray = rows.mean(axis=1)  # columns that the network does not know keep the mean of its inputs
        result[:, self._columns] = self._answer(rows[:, :, self._columns])
        return result


def _answer(model: nn.Module, activation: str) -> Network:
    model.eval()

    @torch.inference_mode()
    def answer(rows: np.ndarray) -> np.ndarray:
        tensor = torch.from_numpy(rows)
        logits = torch.cat([model(tensor[begin : begin + ROWS]) for begin in range(0, len(tensor), ROWS)])
        probabilities: np.ndarray = probabilities_of(logits, activation).numpy()
        return probabilities

    return answer
