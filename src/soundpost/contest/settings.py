"""[contest] of a submission.toml: what a contest's own files do not tell, or tell wrongly."""

from dataclasses import dataclass

from soundpost.errors import SettingsError


@dataclass(frozen=True)
class ContestSettings:
    """How rows and columns of a contest are read and written; what is left out is learnt from its files."""

    shape: str = ""  # one of SHAPES; "": the first that fits
    window_seconds: float = 0.0  # s, the length of a row; 0: learnt from the sample's rows
    separator: str = ""  # between recording and end in a row id; "": learnt
    table: str = "test.csv"  # name of the table of rows beside the sample
    threshold: float = 0.5  # for label lists and for True or False; an answer must be above it
    at_most: int = 0  # labels in a list; 0: any number
    nocall_below: float = 0.0  # nocall joins a list whose labels' probabilities sum to less

    def __post_init__(self) -> None:
        if self.window_seconds < 0 or not 0 <= self.threshold <= 1 or self.at_most < 0:
            raise SettingsError(
                f"[contest] window_seconds {self.window_seconds:g}, threshold {self.threshold:g}, at_most "
                f"{self.at_most}: none may be negative, a threshold lies in [0, 1]. Correct it in submission.toml."
            )
