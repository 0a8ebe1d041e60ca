"""A row for each clip, a column for each class (Freesound Audio Tagging 2019)."""

from collections.abc import Collection, Sequence
from typing import ClassVar

from soundpost.contest.look import Look
from soundpost.contest.rows import Row
from soundpost.contest.settings import ContestSettings
from soundpost.contest.submission import Sample


class WideClips:
    """fname,Bark,Siren / 0a1b.wav,0,0: what every sample is that is nothing else."""

    has_windows: ClassVar[bool] = False

    @staticmethod
    def fits(look: Look, settings: ContestSettings) -> bool:
        """Any sample."""
        return True

    @staticmethod
    def asked(look: Look) -> Collection[str]:
        """Those that have a column."""
        return look.columns

    @staticmethod
    def sample(look: Look, settings: ContestSettings, rows: Sequence[Row], labels: Sequence[str]) -> Sample:
        """Columns and rows as the sample has them."""
        return Sample(look.header[0], look.columns, look.names)
