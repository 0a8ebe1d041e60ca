"""What tests of the archive share: the command in this process, and its parts as one table."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow.parquet

from soundpost.archive.command import main

Tag = Callable[..., pd.DataFrame]


def parts_of(out: Path) -> list[Path]:
    """Part files in order."""
    return sorted(out.glob("part-*.parquet"))


def read(out: Path) -> pd.DataFrame:
    """All rows in the order of the parts, by id."""
    frame = pd.concat([pyarrow.parquet.read_table(part).to_pandas() for part in parts_of(out)])
    return frame.set_index("id")


def tagging(weights: Path, folder: Path) -> Tag:
    """Tags clips, on the CPU where nothing else is said, and gives all rows; further options as on the command line."""

    def run(*arguments: object, out: str = "TAGS.parquet", status: int = 0, device: str = "cpu") -> pd.DataFrame:
        given = [*map(str, arguments), "--out", str(folder / out), "--weights", str(weights)]
        assert main([*given, "--device", device, "--quiet"]) == status
        return read(folder / out)

    return run
