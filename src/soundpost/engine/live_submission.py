"""The submission as it grows: blended from the answers so far, written now and then beside the run, and at its end."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from soundpost.contest.submission import Sample
from soundpost.contest.writer import Writer
from soundpost.engine.finish_table import FinishTable
from soundpost.engine.heartbeat import Tell
from soundpost.engine.predictions import Predictions
from soundpost.ensemble.blend import Blend
from soundpost.ensemble.columns import ColumnMap
from soundpost.resources.deadline import Deadline

PAUSE_SECONDS = 2.0  # least time between two rewrites of submission.csv
PAUSE_SHARE = 20  # a pause is at least so many times what the last blend and write took
SHOWN_CLIPS = 6  # clips whose likeliest tags end the log


class LiveSubmission:
    """What is known so far as a table and, a moment later, as submission.csv.

    Args:
        out: submission.csv.
        sample: its rows and columns.
        predictions: what all members have answered so far.
        blend: how members' answers become one.
        maps: classes -> columns, by recipe name.
        priors: (columns,); what stands where nobody has answered.
        deadline: whose reserve follows what a write takes.
        tell: takes an event for the supervisor after each write.
        is_written: whether submission.csv is rewritten at all; a dry run's is not.
        finish_table: what becomes of the blended table before it is written; None: nothing.
    """

    def __init__(
        self,
        out: Path,
        sample: Sample,
        predictions: Predictions,
        blend: Blend,
        maps: Mapping[str, ColumnMap],
        priors: Sequence[float],
        deadline: Deadline,
        tell: Tell,
        is_written: bool = True,
        finish_table: FinishTable | None = None,
    ) -> None:
        self._sample = sample
        self._predictions = predictions
        self._is_written, self._finish_table = is_written, finish_table
        self.blend, self._maps, self._priors = blend, dict(maps), priors
        self._deadline = deadline
        self._tell = tell
        self._table = np.tile(np.clip(priors, 0.0, 1.0), (predictions.n_clips, 1))
        self._written_table = self._table  # in the rows of the submission
        self._renewed = -PAUSE_SECONDS  # when the table was blended last
        self._seen = -1  # how many answers are in the latest table
        self._blend_seconds = 0.0
        self.write_seconds = 0.0  # what the slowest write took
        self.written = 0  # answers in the submission that lies on disk
        self.unit = "clips"  # what these are, in words
        self._writer = Writer(out, sample, self._wrote)

    @property
    def error(self) -> str:
        """Why the last write failed, if it did; the file before it is untouched."""
        return self._writer.error

    @property
    def is_due(self) -> bool:
        """Whether the last write is over and long enough ago."""
        pause = max(PAUSE_SECONDS, PAUSE_SHARE * (self._blend_seconds + self.write_seconds))
        return self._deadline.elapsed() - self._renewed > pause and self._writer.is_idle

    def renew(self) -> None:
        """Blend the answers of clips that have got some and hand the table to the writer, if there is anything new."""
        if not self._is_written:
            return
        seen = self._predictions.total()
        if seen == self._seen and not self.error:
            return
        self._seen = seen
        self._renewed = self._deadline.elapsed()
        answered = int(self._predictions.answered().sum())
        changed = self._predictions.take_changed()
        self._table = self._table.copy()  # the writer may still read the one before
        self._table[changed] = self._predictions.blended(self.blend, self._maps, self._priors, changed)
        self._written_table = self._finish_table(self._table) if self._finish_table else self._table
        self._blend_seconds = self._deadline.elapsed() - self._renewed
        self._writer.hand_in(self._written_table, answered)

    def finish(self) -> bool:
        """Renew it for the last time; whether what is known lies on disk, before whatever still runs is killed."""
        self.renew()
        return self._writer.finish(max(0.2, self._deadline.before_kill() - 0.1)) and not self.error

    def top_tags(self) -> list[str]:
        """The three likeliest columns of the first predicted clips."""
        lines = []
        answered = self._predictions.answered()
        if self._finish_table is not None:
            answered = self._finish_table.in_rows(answered[:, None])[:, 0]
        for row in np.flatnonzero(answered)[:SHOWN_CLIPS]:
            best = np.argsort(-self._written_table[row], kind="stable")[:3]
            tags = ", ".join(f"{self._sample.columns[i]} {self._written_table[row][i]:.2f}" for i in best)
            lines.append(f"{self._sample.names[row]}: {tags}")
        return lines

    def _wrote(self, seconds: float, answered: int) -> None:
        self.write_seconds = max(self.write_seconds, seconds)
        self.written = answered
        self._deadline.wrote(self._blend_seconds + seconds)
        self._tell({"event": "wrote", "answered": answered, "of": self.unit, "at": round(self._deadline.elapsed(), 2)})
