"""A row for each clip, its likeliest labels in one column (Freesound Audio Tagging 2018)."""

from collections.abc import Collection, Sequence
from typing import ClassVar

from soundpost.contest.look import Look
from soundpost.contest.rows import Row
from soundpost.contest.settings import ContestSettings
from soundpost.contest.submission import RANKED, RankedSample, Sample, check_words


class RankedClips:
    """fname,label / 0a1b.wav,Bark Siren Rain."""

    has_windows: ClassVar[bool] = False

    @staticmethod
    def fits(look: Look, settings: ContestSettings) -> bool:
        """One column, called label."""
        return look.columns == (RANKED,)

    @staticmethod
    def asked(look: Look) -> Collection[str] | None:
        """Nobody says: answers are words."""
        return None

    @staticmethod
    def sample(look: Look, settings: ContestSettings, rows: Sequence[Row], labels: Sequence[str]) -> Sample:
        """Rows as the sample has them; a SubmissionError for a label that could not be told from two."""
        check_words(labels, look.path)
        return RankedSample(look.header[0], tuple(labels), look.names)
