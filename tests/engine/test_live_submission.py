"""The submission as it grows: blended anew only where there is news, written whole each time."""

import time
from pathlib import Path

import numpy as np
import pytest

from soundpost.contest.submission import Sample, check
from soundpost.engine.live_submission import LiveSubmission
from soundpost.engine.predictions import Predictions
from soundpost.ensemble.blend import Blend
from soundpost.ensemble.columns import ColumnMap
from soundpost.ensemble.recipes import Member, Named, Recipe
from soundpost.resources.deadline import Deadline

COLUMNS = ("Bark", "Rain")
CLIPS = tuple(f"{number}.wav" for number in range(6))
PRIORS = (0.25, 0.75)
STACKED = Named("stages", {"stages": [{"output": "s", "name": "second_level", "recipe": "net", "inputs": ["a"]}]})


def recipe() -> Recipe:
    return Recipe(
        name="a",
        labels=COLUMNS,
        audio={},
        front_end=Named("log_mel", {}),
        model=Named("compact", {}),
        views=(Named("whole", {}), Named("whole", {})),
        members=(Member("a", "1", "", ""),),
        priors=PRIORS,
    )


class Grown:
    """A submission with a second level that notes which rows it is shown."""

    def __init__(self, folder: Path, is_written: bool = True) -> None:
        r = recipe()
        self.shown: list[list[float]] = []
        self.out = folder / "submission.csv"
        self.sample = Sample("fname", COLUMNS, CLIPS)
        self.predictions = Predictions([(r, r.members[0])], len(CLIPS), [(0, 0), (0, 1)], folder / "scratch")
        blend = Blend(STACKED, ["a/1"], {"net": [self._answer]})
        maps, deadline = {"a": ColumnMap((0, 1), (0, 1))}, Deadline(60.0, time.monotonic())
        self.live = LiveSubmission(
            self.out, self.sample, self.predictions, blend, maps, PRIORS, deadline, lambda event: None, is_written
        )

    def _answer(self, rows: np.ndarray) -> np.ndarray:
        self.shown.append(rows[:, 0, 0].astype(float).round(3).tolist())
        return rows[:, 0] / 2

    def add(self, clip: int, value: float, view: int = 0) -> None:
        self.predictions.add(0, view, clip, np.full(2, value, np.float32))

    def written(self) -> np.ndarray:
        """(clips, columns) once everything is written."""
        assert self.live.finish(), self.live.error
        assert check(self.out, self.sample) == []
        return np.loadtxt(self.out, delimiter=",", skiprows=1, usecols=(1, 2))


def test_second_level_is_asked_again_only_for_clips_whose_inputs_changed(tmp_path: Path) -> None:
    """Each renewal shows it the clips that have got an answer since; the others keep their rows."""
    grown = Grown(tmp_path)
    for clip in (0, 3):
        grown.add(clip, 0.4)
    first = grown.written()
    grown.add(1, 0.8)
    grown.add(3, 0.6, view=1)

    second = grown.written()

    assert grown.shown == [[0.4, 0.4], [0.8, 0.5]]
    np.testing.assert_allclose(first, [[0.2] * 2, PRIORS, PRIORS, [0.2] * 2, PRIORS, PRIORS], atol=1e-6)
    np.testing.assert_allclose(second, [[0.2] * 2, [0.4] * 2, PRIORS, [0.25] * 2, PRIORS, PRIORS], atol=1e-6)


def test_submission_without_news_is_not_blended_again(tmp_path: Path) -> None:
    """What is known lies on disk already."""
    grown = Grown(tmp_path)
    grown.add(0, 0.4)
    grown.written()

    grown.written()

    assert grown.shown == [[0.4]]


def test_submission_of_a_second_engine_holds_what_the_first_one_answered(tmp_path: Path) -> None:
    """Answers that were taken up are news to it."""
    Grown(tmp_path).add(2, 0.4)

    found = Grown(tmp_path).written()

    np.testing.assert_allclose(found[2], [0.2] * 2, atol=1e-6)


@pytest.mark.parametrize("is_written", [True, False])
def test_submission_of_a_dry_run_is_not_written(tmp_path: Path, is_written: bool) -> None:
    """Nothing is blended and no file appears."""
    grown = Grown(tmp_path, is_written)
    grown.add(0, 0.4)

    assert grown.live.finish()

    assert grown.out.exists() == is_written
    assert bool(grown.shown) == is_written
