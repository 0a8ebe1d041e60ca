"""Blends: every clip is answered from the members that have answered it, nested rules are data."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soundpost.ensemble.blend import Blend, Network, without
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


def test_power_mean_of_a_negative_exponent_leaves_out_who_has_not_answered() -> None:
    """An absent member is no zero, whose negative power would be infinite."""
    table = probabilities(2)
    done = everything(table)
    done[0, 1] = False
    np.testing.assert_allclose(blended("power", table, done, exponent=-1.0)[1], table[1, 1], atol=1e-6)
    table[1, 0, 3] = 0
    assert blended("power", table, exponent=-1.0)[0, 3] == 0


# ---------------------------------------------------------------- rows that are not finite
NO_NUMBERS = (np.nan, np.inf, -np.inf)
CLIPS, CLASSES = 4, 3
RULES = [
    *(Named(name, {}) for name in BLENDS),
    Named("geometric_mean", {"folds": "mean"}),
    Named("power", {"exponent": -1.0, "weights": {"a/0": 2.0, "b/0": 0.0}}),
    stacked(),
]


@st.composite
def injuries(draw: st.DrawFn) -> dict[tuple[str, int], tuple[int, float]]:
    """Members and second-level folds with a clip -> the class that is no number, and what it is instead."""
    who = st.sampled_from([*MEMBERS, "net/0", "net/1"])
    where = st.tuples(who, st.integers(0, CLIPS - 1))
    what = st.tuples(st.integers(0, CLASSES - 1), st.sampled_from(NO_NUMBERS))
    return draw(st.dictionaries(where, what, max_size=16))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.name} {len(rule.settings)}")
@settings(max_examples=40, deadline=None, derandomize=True)
@given(injured=injuries(), absent=st.sets(st.tuples(st.integers(0, 2), st.integers(0, CLIPS - 1)), max_size=4))
def test_rows_that_are_not_finite_count_as_absent_wherever_they_come_from(
    rule: Named, injured: dict[tuple[str, int], tuple[int, float]], absent: set[tuple[int, int]]
) -> None:
    """The blend is that of the finite rows, all of it is finite, and who is left out for which clip is told."""
    table = probabilities(3, CLIPS, CLASSES)
    done = everything(table)
    for member, clip in absent:
        done[member, clip] = False
    sound, spoilt = done.copy(), table.copy()
    for (name, clip), (place, number) in injured.items():
        if name in MEMBERS:
            spoilt[MEMBERS.index(name), clip, place] = number
            sound[MEMBERS.index(name), clip] = False

    def folds(are_injured: bool) -> list[Network]:
        def network(fold: int, rows: np.ndarray) -> np.ndarray:
            result = rows[:, fold].copy()
            clips = [int(np.flatnonzero((table[2] == row).all(axis=1))[0]) for row in rows[:, 0]]  # input 0 is b
            for i, clip in enumerate(clips):
                if are_injured and (f"net/{fold}", clip) in injured:
                    place, number = injured[f"net/{fold}", clip]
                    result[i, place] = number
            return result

        return [partial(network, fold) for fold in range(2)]

    found = Blend(rule, MEMBERS, {"net": folds(True)}).blended(spoilt, done)

    assert np.isfinite(found.probabilities).all()
    np.testing.assert_array_equal(found.there, sound.any(axis=0))
    for clip in range(CLIPS):
        expected = Blend(rule, MEMBERS, {"net": folds(False)})(table[:, clip : clip + 1], sound[:, clip : clip + 1])
        if not {("net/0", clip), ("net/1", clip)} & set(injured):
            np.testing.assert_allclose(found.probabilities[clip], expected[0], atol=1e-6)
    for member, name in enumerate(MEMBERS):
        clips = {clip for who, clip in injured if who == name and done[member, clip]}
        assert set(np.flatnonzero(found.not_finite.get(name, np.zeros(CLIPS)))) == clips
    answers_second = (sound[0] | sound[1]) & sound[2] if rule.name == "stages" else np.zeros(CLIPS, bool)
    for fold in ("net/0", "net/1"):
        clips = {clip for who, clip in injured if who == fold and answers_second[clip]}
        assert set(np.flatnonzero(found.not_finite.get(fold, np.zeros(CLIPS)))) == clips


def test_second_level_that_is_not_finite_leaves_the_clip_to_its_inputs() -> None:
    """One fold that diverged leaves the other; when none is left, the stage that needs it blends the rest."""
    table = probabilities()

    def diverged(rows: np.ndarray) -> np.ndarray:
        return np.full(rows[:, 0].shape, np.nan)

    a = (table[0] + table[1]) / 2
    one = Blend(stacked(), MEMBERS, {"net": [first_input, diverged]}).blended(table, everything(table))
    none = Blend(stacked(), MEMBERS, {"net": [diverged]}).blended(table, everything(table))

    np.testing.assert_allclose(one.probabilities, np.cbrt(a * table[2] * table[2]), atol=1e-6)
    np.testing.assert_allclose(none.probabilities, np.sqrt(a * table[2]), atol=1e-6)
    assert {name: int(rows.sum()) for name, rows in one.not_finite.items()} == {"net/1": 5}


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (Named("median", {}), "blend 'median' is not known; known: geometric_mean"),
        (Named("mean", {"folds": "median"}), "folds = 'median'"),
        (Named("mean", {"weights": {"c/0": 1.0}}), "inputs c/0 not known"),
        (Named("mean", {"weights": {"a/0": -1.0}}), "weight below 0"),
        (Named("mean", {"weights": {"a/0": float("nan")}}), "weight below 0 or not finite"),
        (Named("mean", {"weights": {"a/0": float("inf")}}), "weight below 0 or not finite"),
        (Named("mean", {"exponent": 2}), "unknown setting exponent"),
        (Named("power", {"exponent": 0}), r"blend 'power' has no answer with \{'exponent': 0\}"),
        (Named("power", {"exponent": float("nan")}), "blend 'power' has no answer"),
        (Named("power", {"exponent": "two"}), "blend 'power' has no answer"),
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
