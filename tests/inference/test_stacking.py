"""Second-level recipes as functions of a blend: labels are matched by name, misfits are found before the run."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from soundpost.ensemble.recipes import Member, Named, Recipe, Submission
from soundpost.errors import SettingsError, WeightsError
from soundpost.inference.stacking import ready_blend
from soundpost.models.argus_second_level import FCNet, FCNetSettings

LABELS = ("Bark", "Meow", "Purr")


def network(seed: int = 0) -> FCNet:
    torch.manual_seed(seed)
    return FCNet(FCNetSettings(in_channels=6, base_size=4, reduction_scale=2), len(LABELS)).eval()


def arrays(model: FCNet) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


def submission(n_inputs: int = 2) -> Submission:
    stage = {"output": "s", "name": "second_level", "recipe": "fcnet", "inputs": ["a", "b", "c"][:n_inputs]}
    last = {"output": "answer", "name": "mean", "inputs": ["a", "s"]}
    second = Recipe(
        name="fcnet",
        labels=LABELS,
        audio={},
        front_end=Named("first_level", {}),
        model=Named("argus_fcnet", {"in_channels": 6, "base_size": 4, "reduction_scale": 2}),
        views=(),
        members=(Member("fcnet", "0", "f", ""), Member("fcnet", "1", "f", "")),
        priors=(0.5, 0.5, 0.5),
    )
    first = tuple(replace(second, name=name, members=(Member(name, "0", "f", ""),)) for name in "abc"[:n_inputs])
    return Submission(first, Named("stages", {"stages": [stage, last]}), (second,))


MEMBERS = ("a/0", "b/0")


def by_fold(_: Recipe, member: Member) -> dict[str, np.ndarray]:
    return arrays(network(int(member.fold)))


def table(columns: int) -> tuple[np.ndarray, np.ndarray]:
    probabilities = np.random.default_rng(4).uniform(size=(2, 300, columns)).astype(np.float32)
    return probabilities, np.ones((2, 300), bool)


def test_second_level_finds_its_labels_among_the_columns() -> None:
    """Columns may come in another order and be more; one that no label has keeps the mean of the inputs."""
    columns = ("Purr", "Yell", "Bark", "Meow")
    order = [2, 3, 0]
    probabilities, done = table(4)
    ready = ready_blend(submission(), MEMBERS, columns, by_fold)
    assert ready.skipped == {}
    with torch.inference_mode():
        rows = torch.from_numpy(probabilities.transpose(1, 0, 2)[:, :, order])
        second = np.mean([network(fold)(rows).sigmoid().numpy() for fold in range(2)], axis=0)
    found = ready.blend(probabilities, done)
    np.testing.assert_allclose((probabilities[0][:, order] + second) / 2, found[:, order], atol=1e-6)
    unknown = (probabilities[0, :, 1] + probabilities[:, :, 1].mean(0)) / 2
    np.testing.assert_allclose(unknown, found[:, 1], atol=1e-6)


def test_second_level_uses_the_columns_that_aliases_name() -> None:
    """A label that the submission calls otherwise is found by its alias."""
    recipe = replace(submission().second_level[0], aliases={"Bark": "Dog"})
    renamed = replace(submission(), second_level=(recipe,))
    assert ready_blend(renamed, MEMBERS, ("Dog", "Meow", "Purr"), by_fold).skipped == {}


def test_second_level_whose_labels_are_columns_needs_no_alias() -> None:
    """As in the first level, an alias is looked for only where the label's own name is no column."""
    recipe = replace(submission().second_level[0], aliases={"Bark": "Dog"})
    probabilities, done = table(3)

    plain = ready_blend(submission(), MEMBERS, LABELS, by_fold).blend(probabilities, done)
    aliased = ready_blend(replace(submission(), second_level=(recipe,)), MEMBERS, LABELS, by_fold)

    np.testing.assert_array_equal(plain, aliased.blend(probabilities, done))


def test_second_level_with_a_label_that_is_no_column_is_refused() -> None:
    """It cannot see a class that nobody predicts."""
    with pytest.raises(SettingsError, match=r"1 labels are no columns of the submission \(Purr"):
        ready_blend(submission(), MEMBERS, ("Bark", "Meow"), by_fold)


def test_second_level_made_for_other_inputs_is_left_out() -> None:
    """A stage with three inputs cannot feed a network of two; it is named, and the first level is blended."""
    ready = ready_blend(submission(3), ("a/0", "b/0", "c/0"), LABELS, by_fold)
    assert sorted(ready.skipped) == ["fcnet/0", "fcnet/1"]
    assert "the 3 inputs of its stage" in ready.skipped["fcnet/0"]
    assert [stage.output for stage in ready.blend.stages] == ["answer"]


def test_second_level_fold_without_weights_leaves_the_other_fold() -> None:
    """A missing array, or file, costs that fold alone."""

    def load(recipe: Recipe, member: Member) -> dict[str, np.ndarray]:
        if member.fold == "1":
            raise WeightsError("member fcnet/1: not there. Put the file back.")
        return {**by_fold(recipe, member)}

    ready = ready_blend(submission(), MEMBERS, LABELS, load)
    assert ready.skipped == {"fcnet/1": "member fcnet/1: not there. Put the file back."}
    assert [stage.output for stage in ready.blend.stages] == ["s", "answer"]
    cut = ready_blend(submission(), MEMBERS, LABELS, lambda *_: {})
    assert "Missing key" in cut.skipped["fcnet/0"]


def test_run_of_fewer_members_blends_what_it_has() -> None:
    """Members that a run leaves out, and the second level that needs them, are no error."""
    ready = ready_blend(submission(), ("a/0",), LABELS, by_fold)
    probabilities, done = table(3)
    np.testing.assert_allclose(ready.blend(probabilities[:1], done[:1]), probabilities[0], atol=1e-7)
