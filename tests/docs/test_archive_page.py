"""docs/archive.md: its lines for pandas, polars and duckdb, run over an archive, and its arithmetic done again."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from soundpost.archive.command import main

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "archive.md").read_text("utf-8")
LABELS = ("Bark", "Rain", "Siren", "Tick-tock")


def lines_of(library: str) -> Sequence[str]:
    """The lines of the page that use a library, from the one that names it first to the next empty one."""
    found = re.search(rf"^    (?:\w+ = )?{library}\.(?:.+\n)+", PAGE, re.MULTILINE)
    assert found, f"no line of the page uses {library}"
    return [line.strip() for line in found[0].splitlines()]


@pytest.fixture
def rainy(make_clips: Any, make_assets: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """An archive of parts in the folder where the test runs; paths of the clips with much rain, the rainiest first."""
    clips = make_clips([0.3 + 0.1 * i for i in range(12)]) / "test"
    (clips / "noise.wav").write_bytes(b"no sound")
    monkeypatch.chdir(tmp_path)
    given = [str(clips), "--out", "TAGS.parquet", "--weights", str(make_assets({"folds": 2})), "--part", "5"]
    assert main([*given, "--device", "cpu", "--quiet"]) == 0
    rows = pd.concat(map(pd.read_parquet, sorted(Path("TAGS.parquet").glob("part-*"))))
    return list(rows[rows["Rain"] > limit_of(rows)].sort_values("Rain", ascending=False)["path"])


def limit_of(rows: pd.DataFrame) -> float:
    """A probability of rain between those of the clips, in place of the page's, which small networks may not reach."""
    return round(float(np.sort(rows["Rain"].dropna())[6:8].mean()), 7)


@pytest.mark.parametrize("library", ["pandas", "polars", "duckdb"])
def test_lines_of_the_page_find_the_clips_with_rain(library: str, rainy: list[str]) -> None:
    """The same clips in the same order by every library; unreadable rows are not among them."""
    module = pytest.importorskip(library, reason=f"{library} is in requirements-dev.txt and not installed here")
    limit = limit_of(pd.read_parquet("TAGS.parquet"))
    *before, last = [line.replace("0.8", f"{limit:.7f}") for line in lines_of(library)]
    known: dict[str, Any] = {library: module}
    for line in before:
        exec(line, known)

    found = eval(last, known)

    paths = list(found) if library != "duckdb" else [path for path, _ in found.fetchall()]
    assert len(rainy) in (5, 6)
    assert paths == rainy


def test_table_by_arithmetic_is_the_measured_rate_times_cores() -> None:
    """Clips an hour and minutes for 600,000 clips, out of the rate of one core that the page names."""
    (rate,) = re.findall(
        r"one core, which decodes, computes\s+features and predicts in its lane,\s+answers ([\d.]+) such", PAGE
    )
    rows = re.findall(r"^\| (\d+) \| ([\d,]+) \| ([\d.]+) (min|h) \|$", PAGE, re.MULTILINE)

    assert [int(machines) for machines, *_ in rows] == [1, 4, 16]
    for machines, an_hour, time, unit in rows:
        expected = int(machines) * 16 * float(rate) * 3600
        assert float(an_hour.replace(",", "")) == pytest.approx(expected, rel=0.03)
        assert float(time) * {"min": 1, "h": 60}[unit] == pytest.approx(600_000 / expected * 60, rel=0.2)
