"""What a run over recordings tells counts rows as rows, stretches as stretches: log, run.json, page, preview."""

import json
from pathlib import Path

import pytest
from conftest import RecipeMaker, RecordingMaker, SettingsMaker
from started_runs import start
from test_window_injuries import run_here, with_its_rows

from soundpost.engine import rows as engine_rows
from soundpost.kernel.preview import preview
from soundpost.report_page import charts
from soundpost.report_page.page import page
from soundpost.report_page.run_file import read_run


def test_log_counts_rows_recordings_and_stretches_by_their_names(
    make_assets: RecipeMaker,
    make_recordings: RecordingMaker,
    make_settings: SettingsMaker,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Three recordings of eight rows in four stretches, and one that cannot be read; no line speaks of clips."""
    monkeypatch.setattr(engine_rows, "MOST_ROWS", 3)
    contest = make_recordings()
    (contest / "test" / "z.ogg").write_bytes(b"no audio")
    run_here(make_settings(make_assets({"folds": 1}), contest, progress="lines"))
    said = capfd.readouterr().out
    assert "12 rows of 5 s; 4 recordings; 6 stretches of recordings, 0 of them without a file" in said
    assert "stretches of recordings done; spectrograms" in said
    assert "8 of 12 rows predicted; 4 of 6 stretches of recordings, 2 unreadable, 0 not in the folder" in said
    assert "unreadable, its rows hold the means of their columns: z.ogg: " in said
    assert "clips" not in said


def test_record_of_a_run_over_recordings_counts_rows_and_its_page_and_preview_say_so(
    make_assets: RecipeMaker, make_recordings: RecordingMaker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """ended counts rows, passes count stretches, writes count rows; page and preview name both by their words."""
    contest = make_recordings()
    run = with_its_rows(start(tmp_path / "run", make_assets({"folds": 2}), contest), contest)
    assert run.finish() == 0, run.said()
    table = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (table["ended"]["answered"], table["ended"]["rows"], table["ended"]["unit"]) == (8, 8, "rows")
    assert {(work["clips"], work["unit"]) for work in table["passes"]} == {(3, "stretches of recordings")}
    assert table["writes"][-1][1] == 8
    found = read_run(tmp_path / "run" / "run.json")
    html = page(found, {}, plays=False, n_uncertain=2)
    text = html.split("</style>")[1]
    assert "<dt>rows answered</dt><dd>8 of 8</dd>" in text
    assert "rows per second" in charts.speed(table).replace("<!-- ", "").replace(" -->", "")
    assert " clips" not in text
    preview(tmp_path / "run")
    assert "8 of 8 rows answered" in capsys.readouterr().out


def test_run_over_recordings_whose_time_is_up_says_how_many_rows_it_leaves(
    make_assets: RecipeMaker, make_recordings: RecordingMaker, tmp_path: Path
) -> None:
    """What the supervisor says at a signal counts rows."""
    slow = {"model": {"name": "slow", "seconds": 0.3, "bins": 16, "widths": [4, 6], "strides": [2, 2]}, "folds": 4}
    contest = make_recordings({f"r{i}": 20.0 for i in range(6)})
    run = with_its_rows(start(tmp_path / "run", make_assets(slow), contest), contest)
    run.until(lambda: len(run.versions) > 1)
    run.process.terminate()
    assert run.finish() == 143, run.said()
    assert "ended early; the submission holds " in run.said()
    assert "predicted rows" in run.said()
