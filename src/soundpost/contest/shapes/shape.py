"""What every shape of a contest is: whether a sample looks like it, and the submission that it asks for."""

from collections.abc import Collection, Sequence
from typing import ClassVar, Protocol

from soundpost.contest.look import Look
from soundpost.contest.rows import Row
from soundpost.contest.settings import ContestSettings
from soundpost.contest.submission import Sample


class Shape(Protocol):
    """Stateless: both functions look at what they are given alone."""

    has_windows: ClassVar[bool]  # whether its rows are windows of recordings, not clips

    @staticmethod
    def fits(look: Look, settings: ContestSettings) -> bool:
        """Whether a sample has this shape."""
        ...

    @staticmethod
    def asked(look: Look) -> Collection[str] | None:
        """The classes that are asked for, as the contest's files call them; None where they do not say."""
        ...

    @staticmethod
    def sample(look: Look, settings: ContestSettings, rows: Sequence[Row], labels: Sequence[str]) -> Sample:
        """The submission to write.

        Args:
            look: the contest's own files.
            settings: [contest].
            rows: those to write, where they are windows; empty where they are clips.
            labels: the classes that there are, for samples that do not name them.
        """
        ...
