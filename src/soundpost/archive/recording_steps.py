"""[[after]] of a submission over an archive: recording by recording, which is all that a part has of them.

Steps that look at one row, or at the rows of one recording, give what they give over all rows of a contest. Those that
rank all rows against one another would depend on which clips lie in an archive, so they are refused by name.
"""

from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter

import numpy as np

from soundpost.after.apply import apply, steps_of
from soundpost.after.table import Table
from soundpost.archive.plan import Answer, Plan
from soundpost.errors import SettingsError

WHOLE_TABLE = ("power_below_rank", "rank_blend", "rank_gate", "taxon_rank")  # they compare rows of all recordings


class RecordingSteps:
    """What becomes of the blended answers of whole clips.

    Args:
        plan: whose submission asks for the steps; where it cuts clips into windows, a clip is a recording, and its
            windows are the rows of it in the order of time. Else no row belongs to a recording, as in a contest of
            clips, and only steps that look at single rows change anything.

    Raises:
        SettingsError: a step that compares rows of all recordings, that is not known, or with settings that it does
            not have or that do not fit the labels.
    """

    def __init__(self, plan: Plan) -> None:
        if refused := [step["name"] for step in plan.after if step.get("name") in WHOLE_TABLE]:
            raise SettingsError(
                f"[[after]] {refused[0]} compares rows of all recordings, and an archive has them part by part. Leave "
                "all steps out by --no-after, or take it out of submission.toml."
            )
        self._steps = steps_of(plan.after)
        self._labels = plan.labels
        self._has_recordings = plan.window_seconds > 0
        if self._steps:  # what does not fit is refused before anything is computed
            self._applied(np.full((2, len(self._labels)), 0.5), [np.arange(2)], ["a.wav"])

    def apply(self, answers: Sequence[Answer]) -> None:
        """Change the probabilities of all rows of some clips; a row without any is no neighbour of anybody.

        Args:
            answers: in any order.
        """
        heard = [answer for answer in answers if answer.probabilities is not None]
        if not self._steps or not heard:
            return
        heard.sort(key=attrgetter("row.clip", "row.number"))
        values = np.array([answer.probabilities for answer in heard], np.float64)
        recordings, names = [], []
        if self._has_recordings:
            for _, rows in groupby(range(len(heard)), key=lambda i: heard[i].row.clip):
                recordings.append(np.array(list(rows)))
                names.append(heard[recordings[-1][0]].row.path.rpartition("/")[2])
        for answer, row in zip(heard, self._applied(values, recordings, names), strict=True):
            answer.probabilities = row

    def _applied(self, values: np.ndarray, recordings: Sequence[np.ndarray], names: Sequence[str]) -> np.ndarray:
        return apply(self._steps, Table(values, tuple(recordings), tuple(names), self._labels))
