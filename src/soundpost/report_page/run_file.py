"""run.json and the submission beside it, read and checked."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from soundpost.errors import SettingsError

FORMAT = 1


@dataclass(frozen=True)
class RunFile:
    """What a run left: its record, and its answers where they are a column for each class."""

    path: Path
    table: dict[str, Any]  # see soundpost.launch.run_record
    names: tuple[str, ...]  # rows of the submission
    labels: tuple[str, ...]  # its columns; empty where the submission is not there or names labels only
    probabilities: np.ndarray  # (clips, labels) float64
    remark: str = ""  # why there are no probabilities

    @property
    def ended(self) -> dict[str, Any]:
        """The engine's report; empty where it did not live to tell."""
        return dict(self.table["ended"])

    @property
    def unit(self) -> str:
        """What the rows of the submission are, in words: clips, or rows that are windows of recordings."""
        return str(self.ended.get("unit", "clips"))

    @property
    def test_dir(self) -> Path:
        """Where the clips lay, and may still lie."""
        return Path(self.table["settings"]["test_dir"])

    @property
    def unanswered(self) -> set[str]:
        """Clips whose rows hold no answer, as far as the record names them."""
        return set(self.ended.get("missing", {})) | set(self.ended.get("unreadable", {}))


def read_run(path: Path, submission: Path | None = None) -> RunFile:
    """The record of a run.

    Args:
        path: run.json.
        submission: the run's submission.csv; None: the one that the record names, else the one beside it.

    Raises:
        SettingsError: no such file, or none that this version can read.
    """
    try:
        table = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}. Name the run.json beside a submission.csv.") from error
    except ValueError as error:
        raise SettingsError(f"{path}: not JSON ({error}). Name the run.json beside a submission.csv.") from error
    version = table.get("format") if isinstance(table, dict) else None
    if version != FORMAT:
        raise SettingsError(f"{path}: format {version!r}, this version reads {FORMAT}. Use the version that wrote it.")
    written = Path(table["settings"]["out"])
    places = [submission] if submission else [path.with_name(written.name), written]
    found = next((place for place in places if place.is_file()), None)
    if submission and not found:
        raise SettingsError(f"--submission {submission} is not there. Name the run's submission.csv.")
    nothing = np.zeros((0, 0))
    if not found:
        return RunFile(path, table, (), (), nothing, f"no {written.name} beside {path.name}")
    frame = pd.read_csv(found, index_col=0, dtype={0: str}, keep_default_na=False)
    names = tuple(map(str, frame.index))
    try:
        probabilities = frame.to_numpy(np.float64)
    except ValueError:
        return RunFile(path, table, names, (), nothing, f"{found.name} names labels and holds no probabilities")
    return RunFile(path, table, names, tuple(frame.columns), probabilities)
