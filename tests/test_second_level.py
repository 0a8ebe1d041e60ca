"""Second-level recipes as functions of a blend: labels are matched by name, misfits are found before the run."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from soundpost.errors import SettingsError, WeightsError
from soundpost.models.argus_second_level import FCNet, FCNetSettings
from soundpost.recipes import Member, Named, Recipe, Submission
from soundpost.second_level import second_level

LABELS = ("Bark", "Meow", "Purr")


def network(seed: int = 0) -> FCNet:
    torch.manual_seed(seed)
    return FCNet(FCNetSettings(in_channels=6, base_size=4, reduction_scale=2), len(LABELS)).eval()


def arrays(model: FCNet) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


def submission(n_inputs: int = 2) -> Submission:
    stage = {"output": "s", "name": "second_level", "recipe": "fcnet", "inputs": ["a", "b", "c"][:n_inputs]}
    recipe = Recipe(
        name="fcnet",
        labels=LABELS,
        audio={},
        front_end=Named("first_level", {}),
        model=Named("argus_fcnet", {"in_channels": 6, "base_size": 4, "reduction_scale": 2}),
        views=(),
        members=(Member("fcnet", "0", "f", ""), Member("fcnet", "1", "f", "")),
        priors=(0.5, 0.5, 0.5),
    )
    return Submission((), Named("stages", {"stages": [stage]}), (recipe,))


def test_second_level_finds_its_labels_among_the_columns() -> None:
    """Columns may come in another order and be more; one that no label has keeps the mean of the inputs."""
    columns = ("Purr", "Yell", "Bark", "Meow")
    order = [2, 3, 0]
    rows = np.random.default_rng(4).uniform(size=(300, 2, 4)).astype(np.float32)
    functions = second_level(submission(), columns, lambda _, member: arrays(network(int(member.fold))))["fcnet"]
    assert len(functions) == 2
    for fold, function in enumerate(functions):
        with torch.inference_mode():
            expected = network(fold)(torch.from_numpy(rows[:, :, order])).sigmoid().numpy()
        found = function(rows)
        np.testing.assert_allclose(expected, found[:, order], atol=1e-6)
        np.testing.assert_allclose(rows[:, :, 1].mean(1), found[:, 1], atol=1e-6)


def test_second_level_uses_the_columns_that_aliases_name() -> None:
    """A label that the submission calls otherwise is found by its alias."""
    recipe = replace(submission().second_level[0], aliases={"Bark": "Dog"})
    renamed = replace(submission(), second_level=(recipe,))
    assert second_level(renamed, ("Dog", "Meow", "Purr"), lambda *_: arrays(network()))


def test_second_level_with_a_label_that_is_no_column_is_refused() -> None:
    """It cannot see a class that nobody predicts."""
    with pytest.raises(SettingsError, match=r"1 labels are no columns of the submission \(Purr"):
        second_level(submission(), ("Bark", "Meow"), lambda *_: arrays(network()))


def test_second_level_made_for_other_inputs_is_refused() -> None:
    """A stage with three inputs cannot feed a network of two; it is found before the first clip."""
    with pytest.raises(WeightsError, match=r"fcnet/0: .* the 3 inputs of its stage"):
        second_level(submission(3), LABELS, lambda *_: arrays(network()))


def test_second_level_with_weights_of_another_network_is_refused() -> None:
    """Missing arrays are named."""
    with pytest.raises(WeightsError, match=r"fc\.bias"):
        second_level(submission(), LABELS, lambda *_: {k: v for k, v in arrays(network()).items() if k != "fc.bias"})
