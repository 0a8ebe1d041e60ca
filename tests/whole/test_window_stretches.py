"""Recordings cut into bounded stretches: what a row hears and answers is the recording's, however it is cut."""

import re
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from conftest import LABELS, RATE, RecipeMaker, RecordingMaker, SettingsMaker, waveform
from started_runs import LOG_MEL, PATIENCE_SECONDS, SMALL, Started, start
from test_window_injuries import SAME, Table, assert_same, fakes, rows_of, run_here, with_its_rows

from soundpost.after.frames import overlap_average_max
from soundpost.engine import rows as engine_rows
from soundpost.ensemble.weights_file import load_arrays, sha256_of
from soundpost.front_ends.log_mel import LogMel, LogMelSettings

__all__ = ["fakes"]  # a fixture

PICTURE = {  # a floor below the loudest of all windows of a call, and pictures that are stretched by their own range
    "name": "window_picture",
    "sample_rate": RATE,
    "level": "as_is",
    "n_fft": 512,
    "hop_length": 256,
    "n_mels": 16,
    "fmin": 0.0,
    "top_db": 20.0,
    "steps": ["min_max"],
}
FRAMES: dict[str, Any] = {
    "model": {"name": "frame_wise", **SMALL},
    "windows": {"context_seconds": 12.0, "frames": "overlap_average_max"},
}
KINDS: dict[str, dict[str, Any]] = {
    "recording": {"front_end": PICTURE, "windows": {"scope": "recording"}},
    "recording with context": {"front_end": PICTURE, "windows": {"scope": "recording", "context_seconds": 8.0}},
    "one floor": {"front_end": {**PICTURE, "scope": "recording"}, "windows": {"context_seconds": 9.0}},
    "frames": FRAMES,
    "frames of one spectrogram": {**FRAMES, "windows": {**FRAMES["windows"], "scope": "recording"}},
    "shifts": {"windows": {"shifts": [0.0, 1.25, -1.25], "shift_weights": [1.0, 2.0, 2.0]}},
    "shifts with context": {"windows": {"shifts": [0.0, 2.5], "shift_weights": [1.0, 1.0], "context_seconds": 9.0}},
}


@pytest.mark.usefixtures("fakes")
@pytest.mark.parametrize("most", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_every_kind_are_the_same_whatever_the_stretches_are(
    kind: str,
    most: int,
    make_assets: RecipeMaker,
    make_recordings: RecordingMaker,
    make_settings: SettingsMaker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Floors, averages of overlapping frames and rings that are joined at a recording's ends know no stretch."""
    assets, contest = make_assets({**KINDS[kind], "folds": 1}), make_recordings()
    _, whole = run_here(make_settings(assets, contest))
    assert len({tuple(row) for row in whole.values()}) == len(whole)
    monkeypatch.setattr(engine_rows, "MOST_ROWS", most)
    _, parts = run_here(make_settings(assets, contest))
    assert_same(whole, parts)


@pytest.mark.usefixtures("fakes")
@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_the_same_where_the_contest_asks_for_some_of_a_recording(
    kind: str, make_assets: RecipeMaker, make_recordings: RecordingMaker, make_settings: SettingsMaker
) -> None:
    """A table that names two rows of a recording: they hear all of it, as where every row is asked for."""
    assets, contest = make_assets({**KINDS[kind], "folds": 1}), make_recordings()
    _, whole = run_here(make_settings(assets, contest))
    some = make_recordings(sample=["c_15", "a_5"], folder="some")
    lines = ["row_id,site,seconds,audio_id", "c_15,s,15,c", "a_5,s,5,a", "c_5,s,5,c"]
    (some / "test.csv").write_text("\n".join(lines) + "\n")
    _, found = run_here(make_settings(assets, some))
    assert list(found) == ["c_15", "a_5", "c_5"]
    for row, values in found.items():
        np.testing.assert_allclose(whole[row], values, atol=SAME, err_msg=row)


@pytest.mark.usefixtures("fakes")
def test_frames_of_overlapping_windows_are_averaged_on_one_line_before_their_maximum_is_a_row(
    make_assets: RecipeMaker, make_recordings: RecordingMaker, make_settings: SettingsMaker
) -> None:
    """The run's rows are those of the published steps, done one after the other on the same samples."""
    from fakes import FakeSettings, FrameWise

    assets, contest = make_assets({**FRAMES, "folds": 1}), make_recordings({"c": 20.3})
    _, found = run_here(make_settings(assets, contest))
    network = FrameWise(FakeSettings(bins=16, widths=(4, 6), strides=(2, 2)), len(LABELS)).eval()
    path = assets / "tiny0" / "fold1.safetensors"
    arrays = load_arrays(path, sha256_of(path), "tiny0/1")
    network.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in arrays.items()})
    samples, _ = soundfile.read(contest / "test" / "c.wav", dtype="float32")
    before = np.concatenate([np.zeros(round(3.5 * RATE), np.float32), samples, np.zeros(20 * RATE, np.float32)])
    windows = np.stack([before[i * 5 * RATE : i * 5 * RATE + 12 * RATE] for i in range(4)])
    with torch.inference_mode():
        frames = network(LogMel(LogMelSettings(**LOG_MEL))(torch.from_numpy(windows))).sigmoid().numpy()
    expected = overlap_average_max(frames, frames.shape[1] * 5 // 12)
    np.testing.assert_allclose(expected, np.stack(list(found.values())), atol=1e-5)


@pytest.mark.usefixtures("fakes")
def test_clip_wise_and_frame_wise_members_are_blended_row_by_row(
    make_assets: RecipeMaker, make_recordings: RecordingMaker, make_settings: SettingsMaker
) -> None:
    """A recipe that answers windows and one that answers frames in one run: the mean of what each says alone."""
    clip_wise = {"name": "clips", "folds": 1, "windows": {"context_seconds": 8.0}}
    frame_wise = {"name": "frames", "folds": 2, **FRAMES}
    assets, contest = make_assets(clip_wise, frame_wise), make_recordings()
    alone: list[Table] = [
        run_here(make_settings(assets, contest, members=(member,)))[1] for member in ("clips/1", "frames/1", "frames/2")
    ]
    _, together = run_here(make_settings(assets, contest))
    assert all(np.abs(alone[0][row] - alone[1][row]).max() > 1e-3 for row in together)
    for row, values in together.items():
        mean = alone[0][row] / 2 + (alone[1][row] + alone[2][row]) / 4
        assert (
            np.isclose(values, mean, atol=SAME).all()
            or np.isclose(values, np.mean([table[row] for table in alone], axis=0), atol=SAME).all()
        ), row


@pytest.mark.parametrize("more", [{}, {"context_seconds": 9.0, "padding": "ends_again"}], ids=["alone", "ends_again"])
@pytest.mark.parametrize("shift", [1.25, -2.5])
def test_shifted_view_is_the_answer_to_the_recording_rolled_by_the_shift(
    shift: float,
    more: dict[str, Any],
    make_assets: RecipeMaker,
    make_recordings: RecordingMaker,
    make_settings: SettingsMaker,
) -> None:
    """A recording of whole rows, rolled and written to another file, has the rows of the shifted view."""
    contest = make_recordings({"c": 20.0})
    windows = {"shifts": [shift], "shift_weights": [1.0], **more}
    _, shifted = run_here(make_settings(make_assets({"windows": windows, "folds": 1}), contest))
    samples, _ = soundfile.read(contest / "test" / "c.wav", dtype="int16")
    soundfile.write(contest / "test" / "c.wav", np.roll(samples, round(shift * RATE)), RATE)
    _, rolled = run_here(make_settings(make_assets({"windows": more, "folds": 1}, folder="plain"), contest))
    assert_same(rolled, shifted)


def highest_memory(run: Started) -> dict[int, int]:
    """Most bytes that each process of a run was ever resident with: the kernel's own mark, which no look can miss."""
    found = {}
    for pid in (run.process.pid, *run.children):
        with suppress(OSError):
            status = Path(f"/proc/{pid}/status").read_text()
            if mark := re.search(r"VmHWM:\s+(\d+) kB", status):
                found[pid] = int(mark[1]) * 1024
    return found


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["plain", "recording with context", "frames", "shifts"])
def test_recording_of_two_hours_is_never_in_memory_whole(
    kind: str, tmp_path: Path, make_assets: RecipeMaker, make_recordings: RecordingMaker
) -> None:
    """1,440 rows in twelve stretches: every row is answered, in little more memory than twenty minutes take."""
    assets = make_assets({**KINDS.get(kind, {}), "folds": 1})
    minute = np.concatenate([waveform(1.0, i) * (1 + i % 7) / 7 for i in range(60)])
    peaks = []
    for minutes in (20, 120):
        contest = make_recordings({}, folder=f"contest{minutes}")
        with soundfile.SoundFile(contest / "test" / "long.wav", "w", RATE, 1) as file:
            for _ in range(minutes):
                file.write(minute)
        run = with_its_rows(start(tmp_path / f"run{minutes}", assets, contest, "--workers", "1"), contest)
        highest: dict[int, int] = {}
        limit = time.monotonic() + PATIENCE_SECONDS
        while run.look() and time.monotonic() < limit:
            highest |= highest_memory(run)
            time.sleep(0.02)
        assert run.finish() == 0, run.said()
        assert run.faults == []
        table = rows_of(run.out)
        assert len(table) == minutes * 12
        peaks.append(sum(highest.values()) / 1e6)
    # Spectrograms that stay in memory take 0.3 MB a minute; the waveform of what is longer would be 384 MB.
    assert peaks[1] <= peaks[0] + 150, peaks
    assert len({tuple(row) for row in table.values()}) >= 12  # the minute that repeats has so many windows
