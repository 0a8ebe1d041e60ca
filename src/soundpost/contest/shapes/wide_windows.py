"""A row for each window of a recording, a column for each class (BirdCLEF 2023 to 2026)."""

from collections.abc import Collection, Sequence
from typing import ClassVar

from soundpost.contest.grammar import learn
from soundpost.contest.look import Look
from soundpost.contest.rows import Row, is_recording
from soundpost.contest.settings import ContestSettings
from soundpost.contest.submission import Sample


class WideWindows:
    """row_id,asbfly,1139490 / soundscape_29201_5,0.1,0.2."""

    has_windows: ClassVar[bool] = True

    @staticmethod
    def fits(look: Look, settings: ContestSettings) -> bool:
        """Ids that end in seconds, under row_id or beside a table of rows; ids with an audio suffix are clips."""
        if look.table is not None:
            return True
        if look.header[0] != "row_id" or any(is_recording(name) for name in look.names):
            return False
        return learn(look.names, settings.window_seconds, settings.separator) is not None

    @staticmethod
    def asked(look: Look) -> Collection[str]:
        """Those that have a column."""
        return look.columns

    @staticmethod
    def sample(look: Look, settings: ContestSettings, rows: Sequence[Row], labels: Sequence[str]) -> Sample:
        """Columns as the sample has them, rows as they were found."""
        return Sample(look.header[0], look.columns, tuple(row.row_id for row in rows))
