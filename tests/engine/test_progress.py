"""Progress: one line that never wraps in a terminal, few lines in a log, and an estimate for the whole run."""

import io
import itertools
import os
import re
import sys

import pytest
from conftest import ClipMaker, RecipeMaker, SettingsMaker

from soundpost.engine import progress
from soundpost.engine import run as run_module
from soundpost.engine.progress import Progress, about, passes_named


class Clock:
    """Seconds that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock by which lines are due."""
    clock = Clock()
    monkeypatch.setattr(progress.time, "monotonic", clock)
    return clock


@pytest.mark.parametrize("columns", [80, 200, 40])
def test_bar_stays_on_one_line(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never wider than 79 columns, nor than the terminal, whatever the pass is called."""
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr("tqdm.std.time", itertools.count().__next__)  # a second goes by at every look
    bar = Progress("bar", 3300.0, lambda: 0.0)

    bar.begin(passes_named(2, 3, 8, "a_recipe_with_quite_a_long_name/fold_3 band_shifts and 2 more"), 12_345)
    for count in range(0, 12_345, 5):
        bar.at(count, lambda: 3000.0, lambda: "not asked")
    bar.end()

    shown = [text for text in screen.getvalue().split("\r") if text]
    assert max(map(len, shown)) <= min(columns, 80) - 1
    assert "\n" not in screen.getvalue()
    assert all(text.startswith("passes 2-4 of 8 a_reci") for text in shown if text.strip())
    assert any("| 12340/12345, 50:00 min left" in text for text in shown) or columns == 40


def test_saved_log_keeps_some_fifty_lines_of_a_run(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    """However often the engine tells how far it is, and however long the run."""
    lines = Progress("lines", 3300.0, clock)
    lines.begin("pass 1 of 8 compact/2 whole", 100_000)
    for step in range(33_000):
        clock.now = step / 10
        lines.at(step, lambda: 3300.0 - clock.now, lambda: "0.5 GiB used")
    lines.end()

    printed = capsys.readouterr().out.splitlines()
    assert 40 <= len(printed) <= 60
    assert "pass 1 of 8 compact/2 whole: 660 of 100,000 clips; run: 53:54 min left; 0.5 GiB used" in printed[0]


def test_quiet_progress_shows_nothing_of_a_pass(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    """And asks for no estimate."""
    quiet = Progress("quiet", 60.0, clock)
    quiet.begin("pass 1 of 1", 10)
    clock.now = 59.0
    quiet.at(5, lambda: pytest.fail("asked"), lambda: pytest.fail("asked"))
    quiet.end()

    printed = capsys.readouterr()
    assert printed.out + printed.err == ""


def test_lines_of_the_log_stand_above_the_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The bar is cleared before and drawn again after them."""
    bar = Progress("bar", 60.0, lambda: 1.0)
    bar.begin("pass 1 of 1", 10)
    bar.say("a line")
    bar.end()

    assert capsys.readouterr().out == "[   1.0 s of 60 s] a line\n"


def test_output_that_is_closed_costs_the_run_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when whoever read it has gone: lines and bar go nowhere."""
    ends = [os.pipe(), os.pipe()]
    for reading, _ in ends:
        os.close(reading)
    with os.fdopen(ends[0][1], "w") as out, os.fdopen(ends[1][1], "w") as err:
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        bar = Progress("bar", 60.0, lambda: 0.0)
        bar.begin("pass 1 of 1", 10)
        bar.at(5, lambda: 1.0, lambda: "")
        bar.say("a line")
        bar.say("another")
        bar.end()
        monkeypatch.undo()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "no estimate yet"), (0.4, "0 s left"), (59.6, "1:00 min left"), (125, "2:05 min left")],
)
def test_time_that_is_left_is_said_as_a_person_says_it(seconds: float | None, text: str) -> None:
    """Seconds up to a minute, then minutes and seconds."""
    assert about(seconds) == text


def test_passes_that_share_batches_are_counted_one_by_one() -> None:
    """Three at once are three of the plan."""
    assert passes_named(1, 1, 8, "a/1 whole") == "pass 1 of 8 a/1 whole"
    assert passes_named(2, 3, 8, "a/2 whole and 2 more") == "passes 2-4 of 8 a/2 whole and 2 more"


def test_run_tells_its_passes_one_by_one(
    make_assets: RecipeMaker,
    make_clips: ClipMaker,
    make_settings: SettingsMaker,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Folds that share batches are the second and third of three, and no pass is told twice or left out."""
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    monkeypatch.setattr(progress, "LINE_SHARE", 0.0)

    assert run_module.run(make_settings(make_assets({}), make_clips(), progress="lines")) == 0

    told = re.findall(r"\] (pass(?:es)? [\d-]+ of \d+ [^:]+): \d+ of 12 clips", capfd.readouterr().out)
    assert list(dict.fromkeys(told)) == ["pass 1 of 3 tiny0/1 whole", "passes 2-3 of 3 tiny0/2 whole and 1 more"]
