"""Second-level recipes made into functions that a blend can call; the only place where a blend meets torch."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import nn

from soundpost.blend import Network
from soundpost.errors import SettingsError, WeightsError
from soundpost.models import MODELS
from soundpost.recipes import Member, Recipe, Submission
from soundpost.registry import pick, settings_from

ROWS = 256  # clips in one forward pass


def second_level(
    submission: Submission, columns: Sequence[str], load: Callable[[Recipe, Member], Mapping[str, np.ndarray]]
) -> dict[str, list[Network]]:
    """The folds of each second-level recipe, ready for Blend.

    Args:
        submission: whose second_level is built; the stages of its blend say how many inputs each has.
        columns: of the submission, in order.
        load: the arrays of one member.

    Returns:
        recipe -> one function for each fold, probabilities (clips, inputs, columns) -> (clips, columns).

    Raises:
        SettingsError: a label that is no column.
        WeightsError: arrays that do not fit the network, or a network made for another number of inputs.
    """
    inputs = {stage.get("recipe"): len(stage["inputs"]) for stage in submission.blend.settings.get("stages", ())}
    return {
        recipe.name: [
            _function(recipe, member, columns, load(recipe, member), inputs.get(recipe.name, 0))
            for member in recipe.members
        ]
        for recipe in submission.second_level
    }


def _function(
    recipe: Recipe, member: Member, columns: Sequence[str], arrays: Mapping[str, np.ndarray], n_inputs: int
) -> Network:
    names = [recipe.aliases.get(label, label) for label in recipe.labels]
    absent = sorted(set(names) - set(columns))
    if absent:
        raise SettingsError(
            f"second level {recipe.name}: {len(absent)} labels are no columns of the submission ({absent[0]}, ...). "
            "Use the sample_submission.csv of its competition, or add [aliases]."
        )
    order = [list(columns).index(name) for name in names]
    model_class = pick(MODELS, recipe.model.name, "model")
    model: nn.Module = model_class(
        settings_from(model_class.Settings, recipe.model.settings, recipe.name), len(recipe.labels)
    )
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

    def network(rows: np.ndarray) -> np.ndarray:
        result = rows.mean(axis=1)  # columns that the network does not know keep the mean of its inputs
        result[:, order] = answer(rows[:, :, order])
        return result

    return network


def _answer(model: nn.Module, activation: str) -> Network:
    model.eval()

    @torch.inference_mode()
    def answer(rows: np.ndarray) -> np.ndarray:
        logits = torch.cat([model(chunk) for chunk in torch.from_numpy(rows).split(ROWS)])
        return (logits.sigmoid() if activation == "sigmoid" else logits.softmax(1)).numpy()

    return answer
