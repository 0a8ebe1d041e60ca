"""Runs whose rows are windows of recordings: the laws of runs over clips hold for them, too."""

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import tomli_w
from conftest import LABELS, RATE, RECORDING_SECONDS, ClipMaker, RecipeMaker, RecordingMaker, SettingsMaker

from soundpost.contest.check import check_submission
from soundpost.engine import rows as engine_rows
from soundpost.engine.run import run
from soundpost.settings import RunSettings

ROWS = {"a": 3, "b": 1, "c": 4}  # in the recordings that make_recordings makes when nothing is said

Table = dict[str, np.ndarray]


def answers(settings: RunSettings) -> Table:
    """What a run in this process writes, by row."""
    assert run(settings) == 0
    with Path(settings.out).open(newline="") as file:
        header, *lines = csv.reader(file)
    assert header == ["row_id", *LABELS]
    return {line[0]: np.array(line[1:], float) for line in lines}


def with_settings(assets: Path, **tables: Any) -> Path:
    """The same weights with more in their submission.toml."""
    path = assets / "submission.toml"
    path.write_text(path.read_text() + tomli_w.dumps(tables))
    return assets


def assert_same(expected: Table, actual: Table, rows: Sequence[str]) -> None:
    for row in rows:
        np.testing.assert_allclose(expected[row], actual[row], atol=2e-6, err_msg=row)


def test_windows_of_a_folder_are_all_answered_in_the_order_of_names(
    make_assets: RecipeMaker, make_recordings: RecordingMaker, make_settings: SettingsMaker
) -> None:
    """A stub sample gives columns and grammar; rows are files by name, windows by time, and no two answer alike."""
    table = answers(make_settings(make_assets(), make_recordings()))
    assert list(table) == [f"{name}_{5 * (i + 1)}" for name, rows in ROWS.items() for i in range(rows)]
    assert len({tuple(row) for row in table.values()}) == len(table)


def test_windows_are_answered_alike_alone_in_any_order_and_with_others(
    make_assets: RecipeMaker, make_recordings: RecordingMaker, make_settings: SettingsMaker
) -> None:
    """A row depends on its own window alone: not on other recordings, nor on the order of the sample."""
    assets = make_assets()
    together = answers(make_settings(assets, make_recordings()))
    ids = [f"{name}_{5 * (i + 1)}" for name, rows in reversed(ROWS.items()) for i in reversed(range(rows))]
    shuffled = answers(make_settings(assets, make_recordings(sample=ids, folder="shuffled")))
    assert list(shuffled) == ids
    assert_same(together, shuffled, ids)
    (contest_of_c := make_recordings(folder="c_alone")).joinpath("test", "a.wav").unlink()
    contest_of_c.joinpath("test", "b.wav").unlink()
    assert_same(together, answers(make_settings(assets, contest_of_c)), [f"c_{5 * (i + 1)}" for i in range(4)])


def test_window_is_answered_as_the_clip_that_it_is(
    make_assets: RecipeMaker, make_recordings: RecordingMaker, make_settings: SettingsMaker, make_clips: ClipMaker
) -> None:
    """Cut out of its recording and answered as a clip, a window has the same answer: its neighbours are not heard."""
    assets, contest = make_assets(), make_recordings({"c": RECORDING_SECONDS["c"]})
    windows = answers(make_settings(assets, contest))
    whole, _ = soundfile.read(contest / "test" / "c.wav", dtype="float32")
    clips = make_clips([5.0] * 4, folder="clips")
    for i in range(4):
        soundfile.write(clips / "test" / f"clip{i:03}.wav", whole[i * 5 * RATE : (i + 1) * 5 * RATE], RATE)
    settings = make_settings(assets, clips)
    assert run(settings) == 0
    with Path(settings.out).open(newline="") as file:
        lines = list(csv.reader(file))[1:]
    for i, line in enumerate(lines):
        np.testing.assert_allclose(windows[f"c_{5 * (i + 1)}"], np.array(line[1:], float), atol=1e-4)


@pytest.mark.parametrize("most", [1, 3])
def test_recordings_in_several_stretches_are_answered_as_in_one(
    most: int,
    make_assets: RecipeMaker,
    make_recordings: RecordingMaker,
    make_settings: SettingsMaker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Recordings of hours are worked on in bounded parts, each read from its own second on, with its context."""
    assets = make_assets({"windows": {"context_seconds": 9.0}})
    contest = make_recordings()
    whole = answers(make_settings(assets, contest))
    monkeypatch.setattr(engine_rows, "MOST_ROWS", most)
    assert_same(whole, answers(make_settings(assets, contest)), list(whole))


@pytest.mark.parametrize(
    "windows",
    [
        {"context_seconds": 9.0},
        {"scope": "recording"},
        {"scope": "recording", "context_seconds": 8.0},
        {"shifts": [0.0, 1.25, -1.25], "shift_weights": [1.0, 2.0, 2.0]},
        {"context_seconds": 10.0, "padding": "ends_again"},
    ],
    ids=["context", "recording", "recording_context", "shifts", "ends_again"],
)
def test_windows_of_every_kind_answer_every_row_otherwise_than_plain_ones(
    windows: dict[str, Any],
    make_assets: RecipeMaker,
    make_recordings: RecordingMaker,
    make_settings: SettingsMaker,
) -> None:
    """What a recipe hears beside its row reaches the network: answers change, rows do not."""
    contest = make_recordings()
    plain = answers(make_settings(make_assets(), contest))
    other = answers(make_settings(make_assets({"windows": windows}, folder="other"), contest))
    assert list(plain) == list(other)
    several = [row for row in plain if not row.startswith("b_")]  # b has one row, and nothing beside it
    assert all(np.abs(plain[row] - other[row]).max() > 1e-6 for row in several)


def test_steps_after_the_networks_are_done_in_the_order_of_submission_toml(
    make_assets: RecipeMaker, make_recordings: RecordingMaker, make_settings: SettingsMaker
) -> None:
    """[[after]] works on the blended table, recording by recording; a wrong step is refused before the run."""
    contest = make_recordings()
    plain = answers(make_settings(make_assets(), contest))
    steps = [{"name": "kernel", "weights": [0.25, 0.5, 0.25]}, {"name": "maximum_power", "power": 0.5}]
    stepped = answers(make_settings(with_settings(make_assets(folder="steps"), after=steps), contest))
    c = np.stack([plain[f"c_{5 * (i + 1)}"] for i in range(4)])
    padded = np.concatenate([c[:1], c, c[-1:]])
    smooth = 0.25 * padded[:-2] + 0.5 * padded[1:-1] + 0.25 * padded[2:]
    for i, row in enumerate(smooth * smooth.max(axis=0) ** 0.5):
        np.testing.assert_allclose(row, stepped[f"c_{5 * (i + 1)}"], atol=1e-6)


def test_rows_of_recordings_that_cannot_be_read_get_the_mean_of_their_column(
    make_assets: RecipeMaker, make_recordings: RecordingMaker, make_settings: SettingsMaker
) -> None:
    """Never 0, which would rank them last: what nobody could answer lies in the middle; it has as many rows as most."""
    contest = make_recordings()
    (contest / "test" / "z.ogg").write_bytes(b"no audio at all")
    table = answers(make_settings(make_assets(), contest))
    lost = [row for row in table if row.startswith("z_")]
    assert lost == ["z_5", "z_10", "z_15", "z_20"]
    mean = np.mean([value for row, value in table.items() if row not in lost], axis=0)
    for row in lost:
        np.testing.assert_allclose(mean, table[row], atol=1e-6)


def test_rows_past_the_end_of_a_recording_and_of_missing_ones_stay(
    make_assets: RecipeMaker, make_recordings: RecordingMaker, make_settings: SettingsMaker
) -> None:
    """Whatever the sample names is answered, in its order."""
    ids = ["gone_5", "b_5", "b_10", "a_5"]
    table = answers(make_settings(make_assets(), make_recordings(sample=ids)))
    assert list(table) == [*ids, "a_10", "a_15", *(f"c_{5 * (i + 1)}" for i in range(4))]
    assert all(np.isfinite(row).all() for row in table.values())


def test_row_of_a_whole_recording_is_the_largest_of_its_windows(
    make_assets: RecipeMaker, make_recordings: RecordingMaker, make_settings: SettingsMaker
) -> None:
    """A table's row without seconds asks about all of a recording (2020)."""
    contest = make_recordings(sample=["c_5"])
    lines = ["row_id,site,seconds,audio_id", *(f"c_{5 * (i + 1)},s,{5 * (i + 1)},c" for i in range(4)), "whole,s,,c"]
    (contest / "test.csv").write_text("\n".join(lines) + "\n")
    table = answers(make_settings(make_assets(), contest))
    windows = np.stack([table[f"c_{5 * (i + 1)}"] for i in range(4)])
    np.testing.assert_allclose(windows.max(axis=0), table["whole"], atol=1e-9)


# ---------------------------------------------------------------- whole processes
def start(assets: Path, contest: Path, out: Path, *options: str) -> subprocess.Popen[str]:
    """python -m soundpost.launch.main over a folder of recordings."""
    command = [sys.executable, "-m", "soundpost.launch.main", "--assets", str(assets), "--device", "cpu"]
    command += ["--test-dir", str(contest / "test"), "--sample-submission", str(contest / "sample_submission.csv")]
    command += ["--out", str(out), "--progress", "lines", "--scratch", str(out.parent), *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def assert_valid(out: Path, contest: Path) -> None:
    assert check_submission(out, contest / "sample_submission.csv", contest / "test").refusals == ()


def test_run_over_recordings_that_is_too_long_ends_before_its_limit_with_a_valid_file(
    tmp_path: Path, make_assets: RecipeMaker, make_recordings: RecordingMaker
) -> None:
    """Ten seconds are not enough for three minutes of rows with every view; the file is valid and complete."""
    recordings = {f"r{i:02}": 30.0 for i in range(12)}
    contest, out = make_recordings(recordings), tmp_path / "submission.csv"
    began = time.monotonic()
    process = start(make_assets(), contest, out, "--time-limit", "10s")
    said, _ = process.communicate(timeout=60)
    assert time.monotonic() - began < 10 + 1, said
    assert process.returncode in (0, 3), said
    assert_valid(out, contest)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_to_a_run_over_recordings_end_it_with_a_valid_file(
    number: int, tmp_path: Path, make_assets: RecipeMaker, make_recordings: RecordingMaker
) -> None:
    """From the first write on, whatever ends the run leaves every row of the contest."""
    contest, out = make_recordings({f"r{i:02}": 30.0 for i in range(12)}), tmp_path / "submission.csv"
    process = start(make_assets(), contest, out, "--time-limit", "60s")
    limit = time.monotonic() + 30
    while not out.exists() and time.monotonic() < limit:
        time.sleep(0.02)
    os.kill(process.pid, number)
    said, _ = process.communicate(timeout=60)
    assert process.returncode in (128 + number, 0), said
    assert_valid(out, contest)


def test_columns_that_no_label_names_leave_a_valid_file_and_an_error(
    tmp_path: Path, make_assets: RecipeMaker, make_recordings: RecordingMaker
) -> None:
    """Weights of another contest are refused with both lists, and what lies there can be scored all the same."""
    contest, out = make_recordings(), tmp_path / "submission.csv"
    (contest / "sample_submission.csv").write_text("row_id,0012,nan\nstub_5,0,0\n")
    process = start(make_assets(), contest, out)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 2, said
    assert "no label of the weights is a column" in said
    assert_valid(out, contest)
    assert out.read_text().splitlines()[0] == "row_id,0012,nan"


def test_run_without_recordings_rehearses_with_training_ones_and_leaves_the_stub_answer(
    tmp_path: Path, make_assets: RecipeMaker, make_recordings: RecordingMaker
) -> None:
    """When a kernel is saved the test folder holds a readme: the log foretells the hidden run."""
    contest, out = make_recordings({}), tmp_path / "submission.csv"
    (contest / "test" / "readme.txt").write_text("Recordings are put here.")
    training = make_recordings({f"t{i}": 10.0 for i in range(20)}, folder="training")
    (training / "test").rename(contest / "train_soundscapes")
    process = start(make_assets(), contest, out, "--time-limit", "85m", "--expect-files", "600")
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert "no recording is in the test folder" in said
    assert "expected: 600 recordings of 60.0 s on the average" in said
    assert "over 600 recordings end at" in said
    assert_valid(out, contest)
    assert [line.split(",")[0] for line in out.read_text().splitlines()] == ["row_id", "stub_5", "stub_10"]


def test_run_without_recordings_and_without_training_ones_answers_the_stub(
    tmp_path: Path, make_assets: RecipeMaker, make_recordings: RecordingMaker
) -> None:
    """There is nothing to measure, and a valid file all the same."""
    contest, out = make_recordings({}), tmp_path / "submission.csv"
    process = start(make_assets(), contest, out)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert "rows are the sample's own, without audio" in said
    assert_valid(out, contest)
