"""Corrections of labels by hand: clips removed, clips relabelled."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pandas as pd

from soundpost.errors import SettingsError

REMOVE = "remove"  # what the map says of a clip that is not to be heard


@dataclass(frozen=True)
class CorrectedSettings:
    """Which map, and which of its clips."""

    corrections: str = ""  # JSON file: name -> "remove", or labels separated by commas
    only: str = (
        "all"  # "all": the table as corrected; "relabelled": what got labels; "rest": what got none, less removed
    )


class Corrected:
    """A table with the corrections of a map; a clip keeps its fold, a name that is not in the table does nothing.

    Source: systems specification of argus.
    """

    Settings: ClassVar[type] = CorrectedSettings

    def __init__(self, settings: CorrectedSettings) -> None:
        if settings.only not in ("all", "relabelled", "rest"):
            raise SettingsError(f"only = '{settings.only}'; known: all, relabelled, rest. Correct it.")
        self.settings = settings

    def __call__(self, table: pd.DataFrame, folder: Path) -> pd.DataFrame:
        """A table with columns fname and labels, corrected by the map in that folder."""
        path = folder / self.settings.corrections
        try:
            corrections = json.loads(path.read_text("utf-8"))
        except (OSError, json.JSONDecodeError) as error:
            raise SettingsError(f"corrections {path}: {error}. Give a JSON map of file names to labels.") from error
        return corrected(table, corrections, self.settings.only)


def corrected(table: pd.DataFrame, corrections: Mapping[str, str], only: str = "all") -> pd.DataFrame:
    """A table with columns fname and labels as a map corrects it, in the table's order."""
    said = table["fname"].map(corrections)
    is_relabelled = said.notna() & (said != REMOVE)
    kept = {"all": said != REMOVE, "relabelled": is_relabelled, "rest": said.isna()}[only]
    return table.assign(labels=said.where(is_relabelled, table["labels"]))[kept]


def counts(corrections: Mapping[str, str]) -> dict[str, int]:
    """What a map does: entries, removed, relabelled, and relabelled with two or more labels."""
    relabelled = [labels for labels in corrections.values() if labels != REMOVE]
    return {
        "entries": len(corrections),
        "removed": len(corrections) - len(relabelled),
        "relabelled": len(relabelled),
        "with_two_or_more_labels": sum("," in labels for labels in relabelled),
    }


def labels_of(text: str) -> Sequence[str]:
    """Labels separated by commas, sorted."""
    return sorted(label.strip() for label in text.split(","))
