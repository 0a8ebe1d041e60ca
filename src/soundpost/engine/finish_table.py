"""From the blended answers of all windows to the rows of the submission: comparable, stepped over, in order."""

from collections.abc import Sequence

import numpy as np

from soundpost.after.apply import Step, apply
from soundpost.after.table import Table
from soundpost.engine.comparable import comparable
from soundpost.engine.contest import Contest
from soundpost.engine.predictions import Predictions
from soundpost.ensemble.blend import Blend


class FinishTable:
    """What is done to the table of all answers each time it is to be written.

    Args:
        contest: rows, columns and windows.
        predictions: what all members have answered.
        blend: how members' answers become one.
        steps: those of [[after]].
    """

    def __init__(self, contest: Contest, predictions: Predictions, blend: Blend, steps: Sequence[Step]) -> None:
        self._contest, self._predictions, self._blend, self._steps = contest, predictions, blend, steps
        windows = contest.windows
        recordings = windows.layout.recordings if windows else ()
        self._names = tuple(name for name, _ in recordings)
        self._recordings = tuple(answers for _, answers in recordings)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """(answers, columns) as blended -> (rows, columns) as the submission gets them."""
        contest = self._contest
        if contest.windows is not None:
            values = comparable(values, self._predictions, self._blend, contest.maps, contest.priors)
        if self._steps:
            names = list(contest.maps)
            inputs = {name: self._of_recipe(name) for name in names} if len(names) > 1 else {names[0]: values}
            table = Table(values, self._recordings, self._names, contest.sample.columns, inputs)
            values = apply(self._steps, table)
        return self.in_rows(values)

    def in_rows(self, values: np.ndarray) -> np.ndarray:
        """(answers, ...) in the order of the submission's rows."""
        windows = self._contest.windows
        return windows.layout.in_rows(values) if windows else values

    def _of_recipe(self, name: str) -> np.ndarray:
        """What the members of one recipe say, (answers, columns)."""
        contest, members = self._contest, self._predictions.members_of(name)
        return self._predictions.blended(self._blend, contest.maps, contest.priors, of_members=members)
