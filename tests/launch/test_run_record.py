"""run.json: gathered from the engine's events, written last, never the reason for a failure."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from soundpost.engine.report import Report
from soundpost.engine.run_log import RunLog
from soundpost.ensemble.blend import Blend
from soundpost.ensemble.recipes import Member, Named, Recipe
from soundpost.launch import run_record
from soundpost.launch.run_record import RunRecord
from soundpost.settings import RunSettings


def settings(folder: Path) -> RunSettings:
    return RunSettings("weights", "test", "", str(folder / "submission.csv"), "scratch", supervisor_pid=7)


def member(name: str) -> tuple[Recipe, Member]:
    """A member as the engine has it, of which the record needs the name alone."""
    named = Named("x", {})
    recipe, fold = name.split("/")
    only = Member(recipe, fold, "", "")
    return Recipe(recipe, ("Bark",), {}, named, named, (named,), (only,), (0.5,)), only


CPU, OTHER = (SimpleNamespace(device="cpu") for _ in range(2))  # lanes, of which the log needs no more


class Clock:
    """Seconds that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_record_holds_what_the_log_of_an_engine_told(tmp_path: Path) -> None:
    """Every event of a run, from the first to the last, finds its place."""
    record, clock = RunRecord(settings(tmp_path)), Clock()
    log = RunLog(record.heard, clock)
    record.engine_started()
    members = [member("a/1"), member("a/2")]
    log.ready([CPU], 2, 10**9, members, Blend(Named("mean", {"weights": {"a/1": 2.0}}), ["a/1", "a/2"]))
    clock.now = 1.0
    log.pass_began("a/1 whole", 1, 40)
    clock.now = 1.5
    log.worked(CPU, 0.25, 8)
    log.sampled(100, 10, 1, 8)
    record.heard({"event": "wrote", "answered": 8, "at": 1.6})
    clock.now = 2.0
    log.pass_ended(40, True)
    report = Report(n_clips=41, passes_planned=2, missing={"x.wav": "x.wav"}, remarks=["y.wav: cut"])
    report.counts.update({"workers died": 1, "nothing": 0})
    log.ended(report, 40, 120)

    record.write(0, 2.25)
    assert record.trouble == ""

    table = json.loads((tmp_path / "run.json").read_text())
    assert (table["format"], table["status"], table["seconds"], table["engines"]) == (1, 0, 2.25, 1)
    assert table["settings"]["test_dir"] == "test"
    assert not {"scratch", "started", "supervisor_pid"} & set(table["settings"])
    assert table["ready"]["blend"]["stages"] == [
        {"output": "answer", "rule": "mean", "inputs": ["a/1", "a/2"], "weights": {"a/1": 2.0}}
    ]
    assert table["passes"] == [
        {
            "name": "a/1 whole",
            "members": 1,
            "clips": 40,
            "unit": "clips",
            "done": 40,
            "begin": 1.0,
            "end": 2.0,
            "complete": True,
        }
    ]
    assert table["lanes"] == [[0, 1.25, 1.5, 8]]
    assert table["samples"] == [[1.5, 100, 10, 1, 8]]
    assert table["writes"] == [[1.6, 8]]
    assert table["ended"]["answered"] == 40
    assert table["ended"]["missing"] == {"x.wav": "x.wav"}
    assert table["ended"]["mended"] == ["y.wav: cut"]
    assert table["ended"]["fallbacks"] == {"workers died": 1}


def test_record_of_a_run_that_goes_on_has_no_status(tmp_path: Path) -> None:
    """So that a killed supervisor leaves no older run's record behind, and none that says it had ended."""
    (tmp_path / "run.json").write_text("an older run's")
    RunRecord(settings(tmp_path)).write(None, 0.1)

    assert json.loads((tmp_path / "run.json").read_text())["status"] is None


def test_batches_close_to_each_other_are_one_stretch_of_a_lane() -> None:
    """A long run is told in few lines: what lies between two stretches is idle time that can be seen."""
    told: list[dict[str, Any]] = []
    clock = Clock()
    log = RunLog(told.append, clock)
    log.ready([CPU, OTHER], 2, 10**9, [], Blend(Named("mean", {}), ["a/1"]))
    for clock.now, seconds in ((1.0, 0.5), (1.51, 0.5), (3.0, 0.25)):
        log.worked(CPU, seconds, 4)
        log.worked(OTHER, 0.1, 1)
    log.ended(Report(), 0, 0)

    rows = [event["row"] for event in told if event["kind"] == "lane"]
    assert [row for row in rows if row[0] == 0] == [[0, 0.5, 1.51, 8], [0, 2.75, 3.0, 4]]
    assert len([row for row in rows if row[0] == 1]) == 3


def test_record_of_a_long_run_stays_small(tmp_path: Path, monkeypatch: Any) -> None:
    """Rows are thinned evenly; the first and the last stay."""
    monkeypatch.setattr(run_record, "MOST_ROWS", 10)
    record = RunRecord(settings(tmp_path))
    for number in range(100):
        record.heard({"event": "log", "kind": "sample", "row": [number, 0, 0, 0, 0]})
        record.heard({"event": "log", "kind": "a kind of a later version"})
    record.write(0, 1.0)

    rows = [row[0] for row in json.loads((tmp_path / "run.json").read_text())["samples"]]
    assert len(rows) <= 10
    assert (rows[0], rows[-1]) == (0, 99)


def test_record_that_cannot_be_written_is_said_and_costs_nothing(tmp_path: Path) -> None:
    """The submission does not need it."""
    record = RunRecord(settings(tmp_path / "nowhere"))

    record.write(0, 1.0)
    assert record.trouble == "could not be written (No such file or directory)"
