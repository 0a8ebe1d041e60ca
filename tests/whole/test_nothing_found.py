"""Not one row has a file: a slip with status 3, or the way of a contest whose clips are hidden, which ends well."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import ClipMaker, RecipeMaker, write_sample

from soundpost.contest.submission import check
from soundpost.engine import run as run_module
from soundpost.launch.log import Log
from soundpost.launch.main import _prepare
from soundpost.launch.options import parse
from soundpost.launch.rerun import MARK, RUN_TYPE

HERE: dict[str, str] = {}
COMMIT, RERUN = {RUN_TYPE: "Batch"}, {RUN_TYPE: "Batch", MARK: "1"}
Runs = Callable[[str, str, dict[str, str]], tuple[int, str]]


@pytest.fixture
def run(
    make_assets: RecipeMaker,
    make_clips: ClipMaker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Runs:
    """Runs a kernel's options over a contest whose two rows have no file; its status, and what it said."""
    contest, assets = make_clips([0.3]), make_assets({"folds": 1})
    write_sample(contest / "sample_submission.csv", ["0001.flac", "0002.flac"])

    def made(place: str, state: str, environment: dict[str, str]) -> tuple[int, str]:
        for name in (RUN_TYPE, MARK):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        test = contest / "test"
        if state != "others":
            (test / "clip000.wav").unlink()
        if state == "absent":
            test.rmdir()
        where = ["--test-dir", str(test), "--sample-submission", str(contest / "sample_submission.csv")]
        if place == "found":
            where = ["--input-root", str(contest)]
        elif place == "mounted":
            monkeypatch.setattr("soundpost.launch.main.INPUT_ROOT", contest)
            where = ["--input-root", str(contest)]
        out = tmp_path / "submission.csv"
        given = ["--assets", str(assets), "--device", "cpu", "--workers", "1", "--progress", "lines", "--out", str(out)]
        settings, files = _prepare(parse([*given, *where], {}), time.monotonic(), Log())
        scratch = tmp_path / "scratch"
        scratch.mkdir()
        status = run_module.run(replace(settings, scratch=str(scratch)))
        assert check(out, files.sample) == []
        said = capfd.readouterr().out
        assert f"clips: {test}; rows: {contest / 'sample_submission.csv'}" in said
        return status, said

    return made


@pytest.mark.parametrize("place", ["named", "found"])
@pytest.mark.parametrize("state", ["others", "empty", "absent"])
def test_rows_without_a_file_on_ones_own_machine_are_status_three(run: Runs, place: str, state: str) -> None:
    """Nothing is hidden there: a row stands beside what the folder holds, and a script can act on the status."""
    status, said = run(place, state, HERE)

    assert status == 3
    there = {
        "others": "a file of the folder is 'clip000.wav'",
        "empty": "holds no audio file",
        "absent": "is not there",
    }
    assert "warning: not one row has a file. The first row is '0001.flac', " in said
    assert there[state] in said


@pytest.mark.parametrize("state", ["others", "empty", "absent"])
@pytest.mark.parametrize(("place", "environment"), [("found", COMMIT), ("mounted", HERE), ("found", RERUN)])
def test_rows_without_a_file_in_a_kaggle_mount_end_well(
    run: Runs, place: str, environment: dict[str, str], state: str
) -> None:
    """When a version is saved the hidden clips are not there yet, and what ends in error cannot be submitted."""
    status, said = run(place, state, environment)

    assert status == 0
    assert ("warning: not one row has a file" in said) == (state == "others")


@pytest.mark.parametrize(
    ("state", "environment", "expected"),
    [("others", COMMIT, 3), ("empty", COMMIT, 0), ("absent", COMMIT, 0), ("others", RERUN, 0), ("empty", RERUN, 0)],
)
def test_rows_without_a_file_in_a_folder_that_was_named_on_kaggle(
    run: Runs, state: str, environment: dict[str, str], expected: int
) -> None:
    """Another contest's folder, named by hand, shows when the version is saved; the scored rerun never ends so."""
    status, said = run("named", state, environment)

    assert status == expected
    assert ("a file of the folder is 'clip000.wav'" in said) == (state == "others")
