"""Whatever is not finite, wherever it comes from, submission.csv is written and the report says who was left out."""

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soundpost.contest.submission import Sample, check
from soundpost.engine.live_submission import LiveSubmission
from soundpost.engine.predictions import Predictions
from soundpost.engine.report import Report
from soundpost.ensemble.blend import Blend
from soundpost.ensemble.columns import ColumnMap
from soundpost.ensemble.recipes import Member, Named, Recipe
from soundpost.resources.deadline import Deadline

COLUMNS = ("x", "y")
CLIPS = ("1.wav", "2.wav", "3.wav", "4.wav")
PRIORS = (0.25, 0.75)
RULE = Named(
    "stages",
    {
        "folds": "geometric_mean",
        "stages": [
            {"output": "s", "name": "second_level", "recipe": "net", "inputs": ["a", "b"]},
            {"output": "answer", "name": "geometric_mean", "inputs": ["a", "b", "s"]},
        ],
    },
)


def recipe(name: str, average: str) -> Recipe:
    return Recipe(
        name=name,
        labels=COLUMNS,
        audio={},
        front_end=Named("log_mel", {}),
        model=Named("compact", {}),
        views=(Named("whole", {}),),
        members=(Member(name, "1", "", ""),),
        priors=PRIORS,
        average=average,
    )


def written(rows: np.ndarray, second: np.ndarray, folder: Path) -> tuple[np.ndarray, Predictions]:
    """The submission of two members' rows (2, clips, columns), the second one's logits, and a second level's."""
    recipes = [recipe("a", "probability"), recipe("b", "logit")]
    answers = Predictions([(r, r.members[0]) for r in recipes], len(CLIPS), [(0, 0), (1, 0)], folder)
    for member in (0, 1):
        for clip in range(len(CLIPS)):
            answers.add(member, 0, clip, rows[member, clip])
    blend = Blend(RULE, ["a/1", "b/1"], {"net": [lambda inputs: second[: len(inputs)]]})
    maps = {name: ColumnMap((0, 1), (0, 1)) for name in "ab"}
    sample, out = Sample("fname", COLUMNS, CLIPS), folder / "submission.csv"
    live = LiveSubmission(out, sample, answers, blend, maps, PRIORS, Deadline(60, time.monotonic()), lambda event: None)
    assert live.finish(), live.error
    assert check(out, sample) == []
    return np.loadtxt(out, delimiter=",", skiprows=1, usecols=(1, 2)), answers


def numbers(*shape: int) -> st.SearchStrategy[np.ndarray]:
    number = st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0, np.nan, np.inf, -np.inf])
    size = int(np.prod(shape))
    return st.lists(number, min_size=size, max_size=size).map(lambda flat: np.array(flat, np.float32).reshape(shape))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(rows=numbers(2, len(CLIPS), 2), second=numbers(len(CLIPS), 2))
def test_submission_is_written_whatever_is_not_finite(
    rows: np.ndarray, second: np.ndarray, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Clips of which no member knows a number keep the priors, the others get the blend of those that do."""
    table, answers = written(rows, second, tmp_path_factory.mktemp("run"))

    is_probability = np.isfinite(rows[0]).all(axis=1), ~np.isnan(rows[1]).any(axis=1)
    nobody = ~(is_probability[0] | is_probability[1])
    np.testing.assert_allclose(table[nobody], np.tile(PRIORS, (nobody.sum(), 1)), atol=1e-6)
    alone = is_probability[0] & ~is_probability[1]
    np.testing.assert_allclose(table[alone], rows[0][alone], atol=1e-5)
    for name, sound in zip(("a/1", "b/1"), is_probability, strict=True):
        np.testing.assert_array_equal(answers.not_finite.get(name, np.zeros(len(CLIPS), bool)), ~sound)


def test_second_level_that_answers_nan_for_one_clip_costs_that_answer_alone(tmp_path: Path) -> None:
    """The row is the blend of its members, the others move by nothing, and the report names fold and clip."""
    rows = np.stack([np.full((4, 2), 0.4), np.zeros((4, 2))]).astype(np.float32)
    second = np.full((4, 2), 0.6, np.float32)
    sound, _ = written(rows, second, tmp_path / "sound")
    second[2, 0] = np.nan

    table, answers = written(rows, second, tmp_path / "one")

    np.testing.assert_array_equal(table[[0, 1, 3]], sound[[0, 1, 3]])
    np.testing.assert_allclose(table[2], np.sqrt(0.4 * 0.5), atol=1e-5)
    report = Report(n_clips=4)
    for name, clips in answers.not_finite.items():
        report.left_out(name, [CLIPS[clip] for clip in clips.nonzero()[0]])
    said = "\n".join(report.lines(4))
    assert "rows of net/0 not finite 1" in said
    assert "not finite, its row holds what the others answered, else the class priors: 3.wav: net/0" in said


def test_report_of_a_clip_that_several_left_out_names_them_all() -> None:
    """One line for the clip."""
    report = Report(n_clips=1)
    report.left_out("a/1", ["1.wav"])
    report.left_out("net/0", ["1.wav"])

    assert report.not_finite == {"1.wav": "1.wav: a/1, net/0"}
