"""Blends: every clip is answered from the members that have answered it, nested rules are data."""

import numpy as np
import pytest

from soundpost.ensemble.blend import Blend, without
from soundpost.ensemble.recipes import Named
from soundpost.ensemble.rules import BLENDS
from soundpost.errors import SettingsError, ShapeError

MEMBERS = ("a/0", "a/1", "b/0")


def probabilities(members: int = 3, clips: int = 5, classes: int = 6) -> np.ndarray:
    return np.random.default_rng(3).uniform(0.01, 1, (members, clips, classes)).astype(np.float32)


def everything(table: np.ndarray) -> np.ndarray:
    return np.ones(table.shape[:2], bool)


def blended(name: str, table: np.ndarray, done: np.ndarray | None = None, **settings: object) -> np.ndarray:
    blend = Blend(Named(name, settings), [f"r{i}/0" for i in range(len(table))])
    return blend(table, everything(table) if done is None else done)


@pytest.mark.parametrize("name", BLENDS)
def test_blend_of_one_member_returns_it(name: str) -> None:
    """A rule over one input changes nothing, ties included."""
    table = probabilities(1)
    table[0, 1, 2] = table[0, 1, 4]
    np.testing.assert_allclose(blended(name, table), table[0], atol=1e-7)


@pytest.mark.parametrize("name", BLENDS)
def test_blend_of_shuffled_members_is_the_same(name: str) -> None:
    """The order in which members were added has no say."""
    table = probabilities()
    np.testing.assert_allclose(blended(name, table[[2, 0, 1]]), blended(name, table), atol=1e-7)


@pytest.mark.parametrize("name", BLENDS)
def test_blend_of_incomplete_clips_uses_what_is_done(name: str) -> None:
    """A clip's answer is the blend of the members that answered it, whatever lies in the rest of the table."""
    table = probabilities()
    done = everything(table)
    done[0, 2] = done[2, 2] = done[:, 4] = False
    spoilt = np.where(done[:, :, None], table, np.nan)
    before = spoilt.copy()
    answer = blended(name, spoilt, done)
    np.testing.assert_allclose(answer[2], table[1, 2], atol=1e-7)
    np.testing.assert_allclose(answer[[0, 1, 3]], blended(name, table)[[0, 1, 3]], atol=1e-7)
    assert np.isfinite(answer).all()
    assert (answer[4] == 0).all()
    np.testing.assert_array_equal(before, spoilt)


@pytest.mark.parametrize("name", BLENDS)
def test_blend_answer_does_not_depend_on_other_clips(name: str) -> None:
    """A clip is blended the same alone and among others."""
    table = probabilities()
    np.testing.assert_array_equal(blended(name, table[:, 1:2])[0], blended(name, table)[1])


def test_geometric_mean_with_a_zero_is_zero() -> None:
    """One member that excludes a class excludes it for all, without a warning."""
    table = probabilities()
    table[1, 0, 5] = 0
    assert blended("geometric_mean", table)[0, 5] == 0


def test_mean_with_weights_ignores_those_of_absent_members() -> None:
    """Weights are shared out among the members that answered; if these all weigh nothing, they count equally."""
    table = probabilities(2)
    done = everything(table)
    done[0, 1] = False
    answer = blended("mean", table, done, weights={"r0/0": 3.0, "r1/0": 0.0})
    np.testing.assert_allclose(answer[0], table[0, 0], atol=1e-7)
    np.testing.assert_allclose(answer[1], table[1, 1], atol=1e-7)


def test_rank_mean_of_agreeing_members_keeps_their_order() -> None:
    """Members with other scales but one order agree on that order."""
    table = probabilities(1).repeat(2, 0)
    table[1] **= 4
    np.testing.assert_array_equal(table[0].argsort(1), blended("rank", table).argsort(1))


def test_folds_are_blended_before_recipes() -> None:
    """With `folds`, a recipe of two folds weighs as much as a recipe of one."""
    table = probabilities()
    blend = Blend(Named("mean", {"folds": "geometric_mean"}), MEMBERS)
    expected = (np.sqrt(table[0] * table[1]) + table[2]) / 2
    np.testing.assert_allclose(blend(table, everything(table)), expected, atol=1e-6)


def stacked() -> Named:
    second = {"output": "stacked", "name": "second_level", "recipe": "net", "inputs": ["b", "a"]}
    last = {"output": "answer", "name": "geometric_mean", "inputs": ["a", "b", "stacked"]}
    return Named("stages", {"folds": "mean", "stages": [second, last]})


def first_input(rows: np.ndarray) -> np.ndarray:
    return rows[:, 0]


def test_second_level_reads_its_inputs_in_the_order_given() -> None:
    """The network gets (clips, inputs, classes), its folds are blended, and later stages read the result by name."""
    table = probabilities()
    blend = Blend(stacked(), MEMBERS, {"net": [first_input, first_input]})
    a = (table[0] + table[1]) / 2
    expected = np.cbrt(a * table[2] * table[2])
    np.testing.assert_allclose(blend(table, everything(table)), expected, atol=1e-6)


def test_second_level_answers_only_clips_that_all_its_inputs_answered() -> None:
    """Where an input is missing the network is not asked, and the first level alone is blended."""
    table = probabilities()
    done = everything(table)
    done[2, 1] = False
    asked = []

    def network(rows: np.ndarray) -> np.ndarray:
        asked.append(len(rows))
        return rows[:, 0]

    answer = Blend(stacked(), MEMBERS, {"net": [network]})(table, done)
    assert asked == [len(done[0]) - 1]
    np.testing.assert_allclose(answer[1], (table[0, 1] + table[1, 1]) / 2, atol=1e-6)


def test_rule_without_a_recipe_drops_the_second_level_that_needs_it() -> None:
    """A run of fewer members blends what is left of each stage, and names the stages that stay."""
    left = without(stacked(), {"b", "b/0"})
    assert [(stage["output"], stage["inputs"]) for stage in left.settings["stages"]] == [("answer", ["a"])]
    table = probabilities(2)
    answer = Blend(left, MEMBERS[:2], {"net": [first_input]})(table, everything(table))
    np.testing.assert_allclose(answer, (table[0] + table[1]) / 2, atol=1e-6)


@pytest.mark.parametrize("removed", [{"net"}, {"a", "b"}])
def test_rule_without_its_network_or_all_recipes_is_still_a_rule(removed: set[str]) -> None:
    """What loses everything becomes the mean; a rule that loses nothing stays as it is."""
    left = without(stacked(), removed)
    assert left.settings["folds"] == "mean"
    assert "stacked" not in str(left.settings.get("stages", []))
    weighted = Named("mean", {"weights": {"a/0": 2.0, "b/0": 1.0}})
    assert without(weighted, {"b/0"}) == Named("mean", {"weights": {"a/0": 2.0}})
    assert without(weighted, ()) == weighted


def test_last_stage_without_answer_leaves_the_stage_before() -> None:
    """When the last stage is a second level, clips it cannot answer keep the answer of the stage before it."""
    table = probabilities()
    done = everything(table)
    done[2, 1] = False
    rule = stacked()
    stages = list(reversed(rule.settings["stages"]))
    stages[0] = {**stages[0], "inputs": ["a", "b"]}
    answer = Blend(Named("stages", {"folds": "mean", "stages": stages}), MEMBERS, {"net": [first_input]})(table, done)
    np.testing.assert_allclose(answer[1], (table[0, 1] + table[1, 1]) / 2, atol=1e-6)
    np.testing.assert_allclose(answer[0], table[2, 0], atol=1e-6)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (Named("median", {}), "blend 'median' is not known; known: geometric_mean"),
        (Named("mean", {"folds": "median"}), "folds = 'median'"),
        (Named("mean", {"weights": {"c/0": 1.0}}), "inputs c/0 not known"),
        (Named("mean", {"weights": {"a/0": -1.0}}), "weight below 0"),
        (Named("mean", {"exponent": 2}), "unknown setting exponent"),
        (Named("stages", {}), "no stages"),
        (Named("stages", {"stages": [{"name": "mean"}]}), "without inputs, output"),
        (Named("stages", {"stages": [{"output": "a", "name": "mean", "inputs": ["b"]}]}), "name is taken"),
        (Named("stages", {"stages": [{"output": "s", "name": "second_level", "inputs": ["b"]}]}), "no second-level"),
    ],
)
def test_blend_with_a_wrong_rule_is_refused_before_the_run(rule: Named, message: str) -> None:
    """What cannot be blended is found when the submission is read, not when the hour is over."""
    with pytest.raises(SettingsError, match=message):
        Blend(rule, MEMBERS)


def test_blend_of_a_table_of_other_members_is_refused() -> None:
    """A table with another number of layers belongs to another run."""
    table = probabilities(2)
    with pytest.raises(ShapeError, match="blend of 3 members"):
        Blend(Named("mean", {}), MEMBERS)(table, everything(table))
